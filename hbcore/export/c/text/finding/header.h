/* A face, or whatever the finder knows: what is found at one place of a photograph, in its pixels. */
typedef struct {
    ${name}_point points[${NAME}_MAPS];
    double box[4]; /* x0, y0, x1, y1: where the network looked, without the margin that it then takes around it */
    double confidence; /* the mean of the points' scores */
} ${name}_instance;

#define ${NAME}_MOST ${most} /* instances of a photograph */
#define ${NAME}_LARGEST ${largest} /* pixels of a photograph's longer side */
#define ${NAME}_FINDER_HASH "${finder_hash}" /* SHA-256 of the finder's model file */

/* Everything that is found in a photograph: RGB, `height` rows of `width` pixels, `stride` bytes from one row to the next.
 * Fills found[0 ... most - 1], the surest first; gives how many, or -1 for a photograph without a pixel or that is larger
 * than LARGEST. MOST of them are never exceeded. */
int32_t ${name}_photograph(${name}_arena *arena, const uint8_t *pixels, int32_t height, int32_t width, size_t stride,
${indent}${name}_instance *found, int32_t most);

/* The same as ${name}_selftest, of the finder. */
int ${name}_finder_selftest(${name}_arena *arena);

