/* ./example picture.ppm: what ${name} finds in ${where}, as text.
 *
 * Written by hbcore. PPM files (P6, 255 levels) are what `convert photo.jpg picture.ppm` or `djpeg photo.jpg >
 * picture.ppm` writes.
 */
#include "${name}.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

