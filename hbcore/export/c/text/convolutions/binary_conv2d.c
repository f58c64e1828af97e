typedef struct {
    size size;
    const uint32_t *weights; /* groups of eight filters: (kernel, kernel, words, 8) */
    ending end;
} binary_layer;

/* Where the words that meet the filters lie: `runs` runs of words, in x and in the filters, with so many words from one to
 * the next. */
typedef struct {
    const uint32_t *x, *w;
    int32_t runs, run, x_line, w_line, factors;
} window;

/* What the pixel at (oy, ox) sees: taps outside of the picture are left out. */
static inline window window_of(const binary_layer *layer, const uint32_t *x, int32_t oy, int32_t ox)
{
    const size *s = &layer->size;
    int32_t words = (s->channels + 31) / 32, row = s->kernel * words;
    int32_t top = oy * s->stride - s->padding, left = ox * s->stride - s->padding;
    int32_t i0 = top < 0 ? -top : 0, i1 = s->height - top < s->kernel ? s->height - top : s->kernel;
    int32_t j0 = left < 0 ? -left : 0, j1 = s->width - left < s->kernel ? s->width - left : s->kernel;
    const window found = {
        .x = x + ((top + i0) * s->width + left + j0) * words,
        .w = layer->weights + (i0 * row + j0 * words) * GROUP,
        .runs = i1 - i0,
        .run = (j1 - j0) * words,
        .x_line = s->width * words,
        .w_line = row,
        .factors = (i1 - i0) * (j1 - j0) * s->channels,
    };
    return found;
}

/* differing[k] += bits that differ from filter k of a group that begins `behind` words after the first one. */
static inline void count_window(uint32_t *differing, const window *seen, int32_t behind)
{
    const uint32_t *w = seen->w + behind;
    if (seen->runs * seen->run <= MOST_WORDS) {
        count_eight(differing, seen->x, seen->x_line, w, seen->w_line, seen->runs, seen->run);
        return;
    }
    for (int32_t i = 0; i < seen->runs; i++)
        for (int32_t r = 0; r < seen->run; r += MOST_WORDS)
            count_eight(differing, seen->x + i * seen->x_line + r, 0, w + (i * seen->w_line + r) * GROUP, 0, 1,
                        seen->run - r < MOST_WORDS ? seen->run - r : MOST_WORDS);
}

#if HB_PATH == HB_PATH_AVX512
enum { BLOCK = 6 }; /* pixels at once: between its borders, a row of 8, 32 or 128 pixels has a multiple of six */

/* Of a word and sixteen filters' words: sum + bits that differ. */
static inline __m512i add_differing(__m512i sum, __m512i filters, uint32_t word)
{
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(filters, _mm512_set1_epi32((int)word))));
}

/* The same as `count_window` for WIDE filters and BLOCK pixels, `step` words apart. */
static inline void count_block(__m512i differing[BLOCK], const window *seen, int32_t step, int32_t behind, size_t group)
{
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
    for (int32_t i = 0; i < seen->runs; i++) {
        const uint32_t *x = seen->x + i * seen->x_line, *x3 = x + 3 * step;
        const uint32_t *w = seen->w + behind + i * seen->w_line * GROUP;
        for (int32_t r = 0; r < seen->run; r++, x++, x3++, w += GROUP) {
            const __m512i filters = two_groups(w, group);
            s0 = add_differing(s0, filters, x[0]);
            s1 = add_differing(s1, filters, x[step]);
            s2 = add_differing(s2, filters, x[2 * step]);
            s3 = add_differing(s3, filters, x3[0]);
            s4 = add_differing(s4, filters, x3[step]);
            s5 = add_differing(s5, filters, x3[2 * step]);
        }
    }
    const __m512i found[BLOCK] = {s0, s1, s2, s3, s4, s5};
    memcpy(differing, found, sizeof found);
}
#endif

/* Signs with signs. Taps outside of the picture are left out, and counted as no factors. See `target` for the rest. */
HB_STEP void binary_conv2d(const binary_layer *layer, const uint32_t *x, float *y, int32_t y_step, const float *skip,
                           int32_t skip_step, uint32_t *bits)
{
    const target to = {y, skip, bits, y_step, skip_step};
    const size *s = &layer->size;
    const int32_t group = s->kernel * s->kernel * ((s->channels + 31) / 32) * GROUP; /* words of eight filters */
#if HB_PATH == HB_PATH_AVX512
    /* Pixels whose columns are all there. */
    const int32_t first = (s->padding + s->stride - 1) / s->stride, step = s->stride * ((s->channels + 31) / 32);
    const int32_t last = s->width + s->padding < s->kernel ? -1 : (s->width + s->padding - s->kernel) / s->stride;
#endif
    for (int32_t oy = 0; oy < s->out_height; oy++)
        for (int32_t ox = 0; ox < s->out_width;) {
            const window seen = window_of(layer, x, oy, ox);
            const int32_t pixel = oy * s->out_width + ox;
#if HB_PATH == HB_PATH_AVX512
            if (ox >= first && ox + BLOCK - 1 <= last) {
                for (int32_t f = 0; f < s->filters; f += WIDE) {
                    const int32_t second = s->filters - f > GROUP ? group : 0; /* none: the first one again */
                    const __m512i factors = _mm512_set1_epi32(seen.factors);
                    __m512i differing[BLOCK];
                    count_block(differing, &seen, step, f / GROUP * group, (size_t)second * sizeof *seen.w);
                    for (int32_t p = 0; p < BLOCK; p++) {
                        const __m512i sum = _mm512_sub_epi32(factors, _mm512_slli_epi32(differing[p], 1));
                        finish_wide(&layer->end, &to, _mm512_cvtepi32_ps(sum), pixel + p, f, s->filters);
                    }
                }
                ox += BLOCK;
                continue;
            }
#endif
            for (int32_t f = 0; f < s->filters; f += GROUP) {
                uint32_t differing[GROUP] = {0};
                float v[GROUP];
                count_window(differing, &seen, f / GROUP * group);
                for (int32_t k = 0; k < GROUP; k++)
                    v[k] = (float)(seen.factors - 2 * (int32_t)differing[k]);
                finish(&layer->end, &to, v, pixel, f, s->filters - f < GROUP ? s->filters - f : GROUP, s->filters);
            }
            ox++;
        }
}

