/* sum + a w, in one rounding where the hardware has an instruction for that (HB_FUSED), else in two. */
#if HB_FUSED
#define ADD_PRODUCT(sum, a, w) __builtin_fmaf(a, w, sum)
#else
#define ADD_PRODUCT(sum, a, w) ((sum) + (a) * (w))
#endif

typedef struct {
    size size;
    const float *numbers; /* groups of eight filters: (kernel, kernel, channels, 8), or NULL: */
    const int8_t *bytes;  /* the same in steps, */
    const float *step;    /* of so much for each filter */
    ending end;
} layer;

static inline void add_products(float *sum, float a, const float *w)
{
    for (int32_t k = 0; k < GROUP; k++)
        sum[k] = ADD_PRODUCT(sum[k], a, w[k]);
}

/* The sums of one group of filters for up to four pixels of a row, `step` numbers apart: weights are loaded once for all.
 * x: rows of `line` numbers. Sums for pixels that are not there are those of the first. */
static void four_sums(float v[4][GROUP], int32_t pixels, const float *x, int32_t step, int32_t line, const size *s,
                      const float *w)
{
    float a[GROUP] = {0}, b[GROUP] = {0}, c[GROUP] = {0}, d[GROUP] = {0}; /* so compilers keep them in registers */
    int32_t second = pixels > 1 ? step : 0, third = pixels > 2 ? 2 * step : 0, fourth = pixels > 3 ? 3 * step : 0;
    for (int32_t i = 0; i < s->kernel; i++) {
        const float *at = x + i * line;
        for (int32_t r = 0; r < s->kernel * s->channels; r++, at++, w += GROUP) {
            add_products(a, at[0], w);
            add_products(b, at[second], w);
            add_products(c, at[third], w);
            add_products(d, at[fourth], w);
        }
    }
    memcpy(v[0], a, sizeof a);
    memcpy(v[1], b, sizeof b);
    memcpy(v[2], c, sizeof c);
    memcpy(v[3], d, sizeof d);
}

/* The rows of x or of the picture that a row of outputs needs, with zeros around. */
static void gather(const size *s, const picture *shown, const float *x, int32_t top, float *rows)
{
    int32_t c = s->channels;
    for (int32_t y = top; y < top + s->kernel; y++)
        for (int32_t ix = -s->padding; ix < s->width + s->padding; ix++, rows += c)
            if (y < 0 || y >= s->height || ix < 0 || ix >= s->width)
                for (int32_t k = 0; k < c; k++)
                    rows[k] = 0.0f;
            else if (shown)
                colours(shown, y, ix, rows);
            else
                memcpy(rows, x + (y * s->width + ix) * c, (size_t)c * sizeof *rows);
}

/* Real numbers, of x or of the picture. memory: of the weights of a group of filters, and behind them of the rows that a
 * row of outputs needs; for 1x1, not of these. */
HB_STEP void conv2d(const layer *l, const picture *shown, const float *x, float *memory, float *y, int32_t y_step,
                   const float *skip, int32_t skip_step)
{
    const target to = {y, skip, NULL, y_step, skip_step};
    const size *s = &l->size;
    int32_t terms = s->kernel * s->kernel * s->channels, step = s->stride * s->channels;
    int32_t line = (s->width + 2 * s->padding) * s->channels;
    for (int32_t oy = 0; oy < s->out_height; oy++) {
        const float *rows = x + oy * line;
        if (shown || s->kernel > 1 || s->stride > 1) {
            gather(s, shown, x, oy * s->stride - s->padding, memory + terms * GROUP);
            rows = memory + terms * GROUP;
        }
        for (int32_t f = 0; f < s->filters; f += GROUP) {
            int32_t count = s->filters - f < GROUP ? s->filters - f : GROUP;
            const float *w = memory;
            if (l->numbers)
                w = l->numbers + f * terms;
            for (int32_t t = 0; l->bytes && t < terms * GROUP; t++)
                memory[t] = (float)l->bytes[f * terms + t] * l->step[f + t % GROUP];
            for (int32_t ox = 0; ox < s->out_width; ox += 4) {
                float v[4][GROUP];
                int32_t pixels = s->out_width - ox < 4 ? s->out_width - ox : 4;
                four_sums(v, pixels, rows + ox * step, step, line, s, w);
                for (int32_t p = 0; p < pixels; p++)
                    finish(&l->end, &to, v[p], oy * s->out_width + ox + p, f, count, s->filters);
            }
        }
    }
}

