/* Tiles; a part of template.h where BY_TILES is defined, for 16 lanes.
 *
 * Eight registers of 16 rows of 64 bytes. One instruction adds to 16 x 16 sums of 32 bits 64 products of bytes each: a row
 * of the first operand, four bytes at a time, meets four bytes of the second one for every sum, in a row for each four.
 */
enum { TILE_ROWS = 16, TILE_BYTES = 64, TILE_QUADS = 16 };

/* Shapes are a thread's own. Who leaves tiles has no longer to be saved with them. */
INLINE void NAME(use_tiles)(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.row_bytes[t] = TILE_BYTES;
        shapes.rows[t] = TILE_ROWS;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes));
}

#define LEAVE_TILES() __asm__ volatile("tilerelease" ::)

/* Compilers' own macros do not say that memory is read and written. Tiles t, a, b, c are digits. */
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_LOAD(t, from, step) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(from)), "r"((ptrdiff_t)(step)) : "memory")
#define TILE_STORE(t, to, step) \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(to)), "r"((ptrdiff_t)(step)) : "memory")
/* c += a b, where a and b are signed and unsigned bytes, unsigned and signed ones, or both signed. */
#define TILE_MULTIPLY_SU(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
#define TILE_MULTIPLY_US(c, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
#define TILE_MULTIPLY_SS(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
