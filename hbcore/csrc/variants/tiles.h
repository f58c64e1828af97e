/* Tiles (AMX): registers of 16 rows of 64 bytes, and one instruction for 16 x 16 sums of 64 products of bytes. */
#ifndef HBCORE_TILES_H
#define HBCORE_TILES_H

/* Whether there are kernels that use them: the system must save tiles, and is asked in Linux's way; GCC and Clang have
 * had assemblers that know them since these versions. */
#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define HB_TILES 1
#else
#define HB_TILES 0
#endif

/* Whether this CPU and this system let the process use them: asks for the permission, for all its threads. */
int hb_tiles(void);

#endif
