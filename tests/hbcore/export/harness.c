/* Runs an exported model: harness maps|rgb|grey|rgb565|selftest STRIDE < pixels > answer. NAME and the type of an answer
 * are given by -D. Picture and arena are as large as they must be and no larger, so that sanitizers see what is beyond. */
#include HEADER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOIN(a, b) a##_##b
#define OF(name, what) JOIN(name, what)

int main(int count, char **arguments)
{
    size_t stride = count > 2 ? (size_t)atol(arguments[2]) : 0, size = 0;
    uint8_t *read = malloc(1 << 22), *pixels;
    OF(NAME, arena) *arena = malloc(sizeof *arena);
    ANSWER *answer = malloc(COUNT * sizeof *answer);
    if (!read || !arena || !answer)
        return 3;
    memset(arena, 0xFF, sizeof *arena); /* NaN */
    size = fread(read, 1, 1 << 22, stdin);
    pixels = malloc(size ? size : 1);
    if (!pixels)
        return 3;
    memcpy(pixels, read, size);
    free(read);
    if (strcmp(arguments[1], "selftest") == 0) {
        int wrong = OF(NAME, selftest)(arena);
        putchar(wrong ? 'n' : 'y');
    } else if (strcmp(arguments[1], "maps") == 0) {
        fwrite(OF(NAME, maps)(arena, pixels, stride), sizeof(float), MAPS, stdout);
    } else {
        if (strcmp(arguments[1], "rgb") == 0)
            OF(NAME, rgb)(arena, pixels, stride, answer);
        else if (strcmp(arguments[1], "grey") == 0)
            OF(NAME, grey)(arena, pixels, stride, answer);
        else
            OF(NAME, rgb565)(arena, pixels, stride, answer);
        fwrite(answer, sizeof *answer, COUNT, stdout);
    }
    free(pixels);
    free(arena);
    free(answer);
    return 0;
}
