/* x and y in pixels of the picture, the first pixel's centre at (0, 0); score: about how sure it is, up to 1. */
typedef struct {
    float x, y, score;
} ${name}_point;

/* Fills points[${NAME}_MAPS]; gives the mean of their scores, which is low where the network saw nothing that it knows. */
float ${name}_rgb(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${name}_point *points);
float ${name}_grey(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${name}_point *points);
float ${name}_rgb565(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${name}_point *points);

