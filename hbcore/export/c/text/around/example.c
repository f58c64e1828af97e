/* ./example picture.ppm: what ${name} finds in the largest square in the middle of a picture, as text.
 * The square is made as large as the network's picture by taking the nearest pixels.
 *
 * Written by hbcore. PPM files (P6, 255 levels) are what `convert photo.jpg picture.ppm` or `djpeg photo.jpg >
 * picture.ppm` writes.
 */
#include "${name}.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ${name}_arena arena;
static uint8_t crop[${NAME}_HEIGHT * ${NAME}_WIDTH * 3];

/* The next number of a header, in which comments go from # to the end of a line; 0 if there is none up to 30000. */
static int number(FILE *file)
{
    int found = 0, letter = fgetc(file), comment = 0;
    while (isspace(letter) || letter == '#' || (comment && letter != EOF)) {
        comment = letter != '\n' && (comment || letter == '#');
        letter = fgetc(file);
    }
    ungetc(letter, file);
    return fscanf(file, "%5d", &found) == 1 && found > 0 && found < 30000 ? found : 0;
}

static uint8_t *read_ppm(const char *path, int *width, int *height)
{
    FILE *file = fopen(path, "rb");
    uint8_t *pixels = NULL;
    if (file && fgetc(file) == 'P' && fgetc(file) == '6' && (*width = number(file)) > 0 && (*height = number(file)) > 0
        && number(file) == 255 && fgetc(file) != EOF) {
        size_t size = (size_t)*width * (size_t)*height * 3;
        pixels = malloc(size);
        if (pixels && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    if (file)
        fclose(file);
    return pixels;
}

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
