typedef struct {
    size size;
    const uint32_t *weights; /* groups of eight filters: (kernel, kernel, words, 8) */
    ending end;
} binary_layer;

enum { WINDOW_WORDS = 144 }; /* of a pixel's surroundings, that are copied together: 3 x 3 pixels of 512 channels */

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
            int32_t runs = i1 - i0, run = (j1 - j0) * words, factors = runs * (j1 - j0) * s->channels;
            const uint32_t *first = x + ((top + i0) * s->width + left + j0) * words;
            const uint32_t *w = layer->weights + (i0 * row + j0 * words) * GROUP;
            uint32_t window[WINDOW_WORDS];
            if (runs == s->kernel && run == row && runs * run <= WINDOW_WORDS) { /* one run, as in the filters */
                for (int32_t i = 0; i < runs; i++)
                    for (int32_t r = 0; r < run; r++)
                        window[i * run + r] = first[i * s->width * words + r];
                first = window;
                run *= runs;
                runs = 1;
            }
            for (int32_t f = 0; f < s->filters; f += GROUP, w += s->kernel * row * GROUP) {
                int32_t count = s->filters - f < GROUP ? s->filters - f : GROUP;
                uint32_t differing[GROUP] = {0};
                for (int32_t i = 0; i < runs; i++)
                    for (int32_t r = 0; r < run; r += MOST_WORDS)
                        count_eight(differing, first + i * s->width * words + r, w + (i * row + r) * GROUP,
                                    run - r < MOST_WORDS ? run - r : MOST_WORDS);
                float v[GROUP];
                for (int32_t k = 0; k < GROUP; k++)
                    v[k] = (float)(factors - 2 * (int32_t)differing[k]);
                finish(&layer->end, &to, v, oy * s->out_width + ox, f, count, s->filters);
            }
        }
    }
}

