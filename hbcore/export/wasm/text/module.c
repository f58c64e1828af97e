/* ${name} as a module: its memory, and what a page can call. Written by hbcore. */
#include "${name}.c"

#define EXPORT(name) __attribute__((export_name(#name)))

static ${name}_arena arena;
static uint8_t pixels[${NAME}_HEIGHT * ${NAME}_WIDTH * 3];
static ${element} answer[${count}];
static const char made_by[] = "${name}, written by hbcore from the model with the hash ${hash}";

EXPORT(about) const char *about(void)
{
    return made_by;
}

/* Where the picture is to be put: rows of red, green and blue, a byte each. */
EXPORT(picture) uint8_t *picture_place(void)
{
    return pixels;
}

EXPORT(answer) const void *answer_place(void)
{
    return answer;
}

EXPORT(find) void find_in_picture(void)
{
    ${name}_rgb(&arena, pixels, 3 * ${NAME}_WIDTH, answer);
}

EXPORT(maps) const float *maps_of_picture(void)
{
    return ${name}_maps(&arena, pixels, 3 * ${NAME}_WIDTH);
}

EXPORT(selftest) int selftest(void)
{
    return ${name}_selftest(&arena);
}
