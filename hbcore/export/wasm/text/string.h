/* What the network asks of string.h, which WebAssembly has as instructions. Written by hbcore. */
#ifndef STRING_H
#define STRING_H

#define memcpy __builtin_memcpy
#define memmove __builtin_memmove

#endif
