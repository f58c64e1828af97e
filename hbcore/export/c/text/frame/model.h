/* ${name}, written by hbcore from the model with the hash ${hash}.
 *
 * ${name}.c computes with the memory that its caller gives and nothing else: no allocation, no library but string.h.
 */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${NAME}_HASH "${hash}" /* SHA-256 of the model file */
#define ${NAME}_HEIGHT ${height} /* pixels of the picture */
#define ${NAME}_WIDTH ${width}
#define ${NAME}_STRIDE ${stride} /* pixels of the picture for one of a map */
#define ${NAME}_MAP_HEIGHT ${map_height}
#define ${NAME}_MAP_WIDTH ${map_width}
#define ${NAME}_MAPS ${maps} /* ${what} */
#define ${NAME}_RAM ${ram} /* bytes of the arena */
#define ${NAME}_FLASH ${flash} /* bytes of constants besides the code, where addresses have 32 bits */

/* All memory that the network takes: as a static variable, or wherever there is room. What it holds before does not
 * matter. Each arena serves one call at a time. */
typedef union {
    double aligned;
    ${number} number;
    uint32_t word;
    uint8_t bytes[${NAME}_RAM];
} ${name}_arena;

/* The picture: HEIGHT rows of WIDTH pixels, `stride` bytes from one row to the next. RGB has three bytes a pixel, grey
 * one, rgb565 two, the upper five bits of red, six of green, five of blue, high byte first, as cameras send them. */

${declarations}/* The maps as the network gives them, row by row, pixel by pixel: (MAP_HEIGHT, MAP_WIDTH, MAPS), in the arena. */
${meaning}const ${number} *${name}_maps(${name}_arena *arena, const uint8_t *rgb, size_t stride);

/* 0 if this machine computes the maps of a picture of noise to the last bit as it was computed where this was written. */
int ${name}_selftest(${name}_arena *arena);

#ifdef __cplusplus
}
#endif
#endif
