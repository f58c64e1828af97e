/* Runs an exported pair: photograph HEIGHT WIDTH STRIDE MOST | square HEIGHT WIDTH STRIDE X Y SIDE SIZE MEMORY |
 * maps HEIGHT WIDTH STRIDE | selftest; pixels on stdin, answers on stdout. All memory is as large as it must be and no larger, for sanitizers. */
#include SOURCE

#include <stdio.h>
#include <stdlib.h>

#define JOIN(a, b) a##_##b
#define OF(name, what) JOIN(name, what)

static void *room(size_t size)
{
    void *found = malloc(size ? size : 1);
    if (!found)
        exit(3);
    memset(found, 0xFF, size ? size : 1);
    return found;
}

int main(int count, char **arguments)
{
    OF(NAME, arena) *arena = room(sizeof *arena);
    if (count == 2) {
        putchar(OF(NAME, selftest)(arena) ? 'n' : 'y');
        putchar(OF(NAME, finder_selftest)(arena) ? 'n' : 'y');
        free(arena);
        return 0;
    }
    int height = atoi(arguments[2]), width = atoi(arguments[3]);
    size_t stride = (size_t)atol(arguments[4]), size = (size_t)(height - 1) * stride + 3 * (size_t)width;
    uint8_t *pixels = room(size);
    if (fread(pixels, 1, size, stdin) != size)
        return 3;
    if (count == 5) {
        picture shown = {pixels, stride, RGB};
        const float *maps = finder_network(arena, &shown, height, width);
        int numbers = height / FINDER_STRIDE * (width / FINDER_STRIDE) * FINDER_MAPS;
        fwrite(maps, sizeof *maps, (size_t)numbers, stdout);
    } else if (count == 6) {
        int most = atoi(arguments[5]);
        OF(NAME, instance) *found = room((size_t)most * sizeof *found);
        int32_t told = OF(NAME, photograph)(arena, pixels, height, width, stride, found, most);
        fwrite(&told, sizeof told, 1, stdout);
        fwrite(found, sizeof *found, (size_t)(told > 0 ? told : 0), stdout);
        free(found);
    } else {
        photograph from = {pixels, stride, height, width};
        square of = {atof(arguments[5]), atof(arguments[6]), atof(arguments[7])};
        int side = atoi(arguments[8]);
        uint8_t *seen = room((size_t)(3 * side * side)), *memory = room((size_t)atol(arguments[9]));
        extract(&from, &of, side, seen, memory);
        fwrite(seen, 3, (size_t)(side * side), stdout);
        free(seen);
        free(memory);
    }
    free(pixels);
    free(arena);
    return 0;
}
