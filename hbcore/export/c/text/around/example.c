static ${name}_arena arena;
static uint8_t crop[${NAME}_HEIGHT * ${NAME}_WIDTH * 3];

/* The square is made as large as the network's picture by taking the nearest pixels. */
int main(int count, char **arguments)
{
    int width, height;
    if (count == 2 && strcmp(arguments[1], "--selftest") == 0) {
        int wrong = ${name}_selftest(&arena);
        puts(wrong ? "self-test: other maps than where this file was written" : "self-test: the same to the last bit");
        return wrong;
    }
    uint8_t *pixels = count == 2 ? read_ppm(arguments[1], &width, &height) : NULL;
    if (!pixels) {
        fprintf(stderr, "usage: %s PICTURE.ppm (P6, 255 levels) | --selftest\n", arguments[0]);
        return 2;
    }
    int side = width < height ? width : height, left = (width - side) / 2, top = (height - side) / 2;
    for (int y = 0; y < ${NAME}_HEIGHT; y++)
        for (int x = 0; x < ${NAME}_WIDTH; x++) {
            int from_y = top + (2 * y + 1) * side / (2 * ${NAME}_HEIGHT), from_x = left + (2 * x + 1) * side / (2 * ${NAME}_WIDTH);
            memcpy(crop + (y * ${NAME}_WIDTH + x) * 3, pixels + ((size_t)from_y * (size_t)width + (size_t)from_x) * 3, 3);
        }
    free(pixels);
${show}    return 0;
}
