/* Pictures on stdin; for each, on stdout: the bits of every binary layer, the maps, and the answer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define HB_SEEN(words, count) fwrite(words, sizeof(uint32_t), count, stdout);

#include "${name}.c"

static ${name}_arena memory;
static uint8_t pixels[${NAME}_HEIGHT * ${NAME}_WIDTH * 3];
static ${element} answer[${count}];

int main(void)
{
    ${name}_arena *arena = &memory;
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        picture shown = {pixels, 3 * ${NAME}_WIDTH, RGB};
        find(arena, &shown, answer);
        fwrite(${result}, sizeof(${number}), ${NAME}_MAP_HEIGHT * ${NAME}_MAP_WIDTH * ${NAME}_MAPS, stdout);
        fwrite(answer, sizeof answer, 1, stdout);
        fflush(stdout);
    }
    return 0;
}
