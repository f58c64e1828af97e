/* ------------------------------------------------------------------------------------------ entry points */
${found}${name}_rgb(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${element} *${into})
{
    picture shown = {pixels, stride, RGB};
    ${give}find(arena, &shown, ${into});
}

${found}${name}_grey(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${element} *${into})
{
    picture shown = {pixels, stride, GREY};
    ${give}find(arena, &shown, ${into});
}

${found}${name}_rgb565(${name}_arena *arena, const uint8_t *pixels, size_t stride, ${element} *${into})
{
    picture shown = {pixels, stride, RGB565};
    ${give}find(arena, &shown, ${into});
}

