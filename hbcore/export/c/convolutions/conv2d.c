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

/* Real numbers, of x or of the picture. memory: of the kernel^2 channels numbers around a pixel; for 1x1, none. */
static void conv2d(const layer *l, const picture *shown, const float *x, float *memory, float *y, int32_t y_step,
                   const float *skip, int32_t skip_step)
{
    const target to = {y, skip, NULL, y_step, skip_step};
    const size *s = &l->size;
    int32_t row = s->kernel * s->channels, terms = s->kernel * row;
    for (int32_t oy = 0; oy < s->out_height; oy++)
        for (int32_t ox = 0; ox < s->out_width; ox++) {
            const float *around = memory;
            if (memory == NULL)
                around = x + (oy * s->out_width + ox) * s->channels;
            for (int32_t t = 0; memory && t < s->kernel * s->kernel; t++) {
                int32_t iy = oy * s->stride - s->padding + t / s->kernel, ix = ox * s->stride - s->padding + t % s->kernel;
                float *tap = memory + t * s->channels;
                if (iy < 0 || iy >= s->height || ix < 0 || ix >= s->width)
                    for (int32_t c = 0; c < s->channels; c++)
                        tap[c] = 0.0f;
                else if (shown)
                    colours(shown, iy, ix, tap);
                else
                    memcpy(tap, x + (iy * s->width + ix) * s->channels, (size_t)s->channels * sizeof *tap);
            }
            for (int32_t f = 0; f < s->filters; f += GROUP) {
                int32_t count = s->filters - f < GROUP ? s->filters - f : GROUP;
                float v[GROUP] = {0};
                if (l->numbers) {
                    const float *w = l->numbers + f * terms;
                    for (int32_t t = 0; t < terms; t++)
                        for (int32_t k = 0; k < GROUP; k++)
                            v[k] = ADD_PRODUCT(v[k], around[t], w[t * GROUP + k]);
                } else {
                    const int8_t *w = l->bytes + f * terms;
                    for (int32_t t = 0; t < terms; t++)
                        for (int32_t k = 0; k < GROUP; k++)
                            v[k] = ADD_PRODUCT(v[k], around[t], (float)w[t * GROUP + k] * l->step[f + k]);
                }
                finish(&l->end, &to, v, oy * s->out_width + ox, f, count, s->filters);
            }
        }
}

