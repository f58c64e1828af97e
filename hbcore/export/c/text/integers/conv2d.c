typedef struct {
    size size;
    const int8_t *weights; /* groups of eight filters: (kernel, kernel, channels, 8) */
    ending end;
} layer;

/* Rows top ... bottom - 1 of x or of the picture, with zeros around. */
static void gather(const size *s, const picture *shown, const int32_t *x, int32_t top, int32_t bottom, int32_t *rows)
{
    int32_t c = s->channels, border = s->padding * c, line = s->width * c;
    for (int32_t y = top; y < bottom; y++, rows += line + 2 * border) {
        int outside = y < 0 || y >= s->height;
        for (int32_t k = 0; k < line + 2 * border; k++)
            if (outside || k < border || k >= border + line)
                rows[k] = 0;
        for (int32_t ix = 0; shown && !outside && ix < s->width; ix++)
            colours(shown, y, ix, rows + border + ix * c);
        if (!shown && !outside)
            memcpy(rows + border, x + y * line, (size_t)line * sizeof *rows);
    }
}

/* Whole numbers, of x or of the picture. memory: of the rows that a row of outputs needs, unless it is 1x1. */
HB_STEP void conv2d(const layer *l, const picture *shown, const int32_t *x, int32_t *memory, int32_t *y, int32_t y_step,
                   const int32_t *skip, int32_t skip_step)
{
    const target to = {y, skip, NULL, y_step, skip_step};
    const size *s = &l->size;
    int32_t run = s->kernel * s->channels, line = (s->width + 2 * s->padding) * s->channels;
    for (int32_t oy = 0; oy < s->out_height; oy++) {
        const int32_t *rows = x ? x + oy * line : NULL;
        if (shown || s->kernel > 1 || s->stride > 1) {
            int32_t top = oy * s->stride - s->padding, kept = oy > 0 && s->kernel > s->stride ? s->kernel - s->stride : 0;
            memmove(memory, memory + s->stride * line, (size_t)(kept * line) * sizeof *memory);
            gather(s, shown, x, top + kept, top + s->kernel, memory + kept * line);
            rows = memory;
        }
        for (int32_t f = 0; f < s->filters; f += GROUP)
            for (int32_t ox = 0; ox < s->out_width; ox++) {
                int32_t sums[GROUP] = {0}, count = s->filters - f < GROUP ? s->filters - f : GROUP;
                const int8_t *w = l->weights + f * s->kernel * run;
                for (int32_t i = 0; i < s->kernel; i++) {
                    const int32_t *a = rows + i * line + ox * s->stride * s->channels;
                    for (int32_t r = 0; r < run; r++, w += GROUP)
                        for (int32_t k = 0; k < GROUP; k++)
                            sums[k] += a[r] * w[k];
                }
                finish(&l->end, &to, sums, oy * s->out_width + ox, f, count, s->filters);
            }
    }
}

