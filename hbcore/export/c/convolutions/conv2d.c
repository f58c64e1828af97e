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

/* The sums of one group of filters for some pixels of a row, `step` numbers apart. x: rows of `line` numbers. */
static inline void add_products(float v[][GROUP], int32_t pixels, const float *x, int32_t step, int32_t line,
                                const size *s, const float *w)
{
    for (int32_t i = 0; i < s->kernel; i++)
        for (int32_t r = 0; r < s->kernel * s->channels; r++, w += GROUP)
            for (int32_t p = 0; p < pixels; p++)
                for (int32_t k = 0; k < GROUP; k++)
                    v[p][k] = ADD_PRODUCT(v[p][k], x[p * step + i * line + r], w[k]);
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
static void conv2d(const layer *l, const picture *shown, const float *x, float *memory, float *y, int32_t y_step,
                   const float *skip, int32_t skip_step)
{
    enum { TOGETHER = 4 }; /* pixels */
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
            for (int32_t ox = 0, pixels; ox < s->out_width; ox += pixels) {
                float v[TOGETHER][GROUP] = {{0}};
                pixels = ox + TOGETHER <= s->out_width ? TOGETHER : 1;
                if (pixels == TOGETHER) /* a constant of the compiler's */
                    add_products(v, TOGETHER, rows + ox * step, step, line, s, w);
                else
                    add_products(v, 1, rows + ox * step, step, line, s, w);
                for (int32_t p = 0; p < pixels; p++)
                    finish(&l->end, &to, v[p], oy * s->out_width + ox + p, f, count, s->filters);
            }
        }
    }
}

