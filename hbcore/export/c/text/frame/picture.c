/* --------------------------------------------------------------------------------------------- the picture */
enum { RGB, GREY, RGB565, GOLDEN };

typedef struct {
    const uint8_t *pixels;
    size_t stride; /* bytes from one row to the next */
    int format;
} picture;

/* The colours of a pixel, from 0 to ${white}. */
static void colours(const picture *shown, int32_t y, int32_t x, ${number} *out)
{
    const uint8_t *row = shown->pixels ? shown->pixels + (size_t)y * shown->stride : NULL;
    uint32_t rgb[3], v;
    switch (shown->format) {
    case RGB: rgb[0] = row[3 * x], rgb[1] = row[3 * x + 1], rgb[2] = row[3 * x + 2]; break;
    case GREY: rgb[0] = rgb[1] = rgb[2] = row[x]; break;
    case RGB565:
        v = (uint32_t)row[2 * x] << 8 | row[2 * x + 1];
        rgb[0] = v >> 11 << 3 | v >> 13;
        rgb[1] = (v >> 5 & 63) << 2 | (v >> 9 & 3);
        rgb[2] = (v & 31) << 3 | (v >> 2 & 7);
        break;
    default: /* the picture of the self-test, that needs no memory */
        for (int32_t c = 0; c < 3; c++) {
            v = ((uint32_t)y * ${NAME}_WIDTH + (uint32_t)x) * 3u + (uint32_t)c;
            v = (v + 1u) * 2654435761u;
            rgb[c] = (v ^ v >> 15) * 2246822519u >> 24;
        }
    }
    for (int32_t c = 0; c < 3; c++)
        out[c] = ${colour};
}

