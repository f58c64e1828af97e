typedef struct {
    size size;
    const uint32_t *weights; /* groups of eight filters: (kernel, kernel, words, 8) */
    ending end;
} binary_layer;

/* Signs with signs. Taps outside of the picture are left out, and counted as no factors. See `target` for the rest. */
HB_STEP void binary_conv2d(const binary_layer *layer, const uint32_t *x, float *y, int32_t y_step, const float *skip,
                          int32_t skip_step, uint32_t *bits)
{
    const target to = {y, skip, bits, y_step, skip_step};
    const size *s = &layer->size;
    int32_t words = (s->channels + 31) / 32, row = s->kernel * words;
    for (int32_t oy = 0; oy < s->out_height; oy++) {
        int32_t top = oy * s->stride - s->padding;
        int32_t i0 = top < 0 ? -top : 0, i1 = s->height - top < s->kernel ? s->height - top : s->kernel;
        for (int32_t ox = 0; ox < s->out_width; ox++) {
            int32_t left = ox * s->stride - s->padding;
            int32_t j0 = left < 0 ? -left : 0, j1 = s->width - left < s->kernel ? s->width - left : s->kernel;
            int32_t run = (j1 - j0) * words, factors = (i1 - i0) * (j1 - j0) * s->channels;
            const uint32_t *first = x + ((top + i0) * s->width + left + j0) * words, *w = layer->weights;
            for (int32_t f = 0; f < s->filters; f += GROUP) {
                int32_t count = s->filters - f < GROUP ? s->filters - f : GROUP;
                uint32_t differing[GROUP] = {0};
                for (int32_t i = i0; i < i1; i++) {
                    const uint32_t *at = first + (i - i0) * s->width * words, *of = w + (i * row + j0 * words) * GROUP;
                    count_eight(differing, at, of, run);
                }
                float v[GROUP];
                for (int32_t k = 0; k < GROUP; k++)
                    v[k] = (float)(factors - 2 * (int32_t)differing[k]);
                finish(&layer->end, &to, v, oy * s->out_width + ox, f, count, s->filters);
                w += s->kernel * row * GROUP;
            }
        }
    }
}

