/* Fills classes[HEIGHT * WIDTH] with the class of every pixel, row by row. */
void ${name}_rgb(${name}_arena *arena, const uint8_t *pixels, size_t stride, uint8_t *classes);
void ${name}_grey(${name}_arena *arena, const uint8_t *pixels, size_t stride, uint8_t *classes);
void ${name}_rgb565(${name}_arena *arena, const uint8_t *pixels, size_t stride, uint8_t *classes);

