/* sum + a w, in one rounding where the hardware has an instruction for that (HB_FUSED), else in two. */
#if HB_FUSED
#define ADD_PRODUCT(sum, a, w) __builtin_fmaf(a, w, sum)
#else
#define ADD_PRODUCT(sum, a, w) ((sum) + (float)((a) * (w)))
#endif

typedef struct {
    size size;
    const float *numbers; /* groups of eight filters: (kernel, kernel, channels, 8), or NULL: */
    const int8_t *bytes;  /* the same in steps, */
    const float *step;    /* of so much for each filter */
    ending end;
} layer;

/* The sums of one group of filters for up to PIXELS pixels of a row, `step` numbers apart: weights are loaded once for
 * all. x: rows of `line` numbers. Sums for pixels that are not there are those of the first. Eight vectors of sums stay in
 * registers: of eight numbers, one for a pixel, or of four, two for a pixel. */
#if defined(__AVX__) && (defined(__FMA__) || !HB_FUSED)
enum { PIXELS = 8 };
typedef __m256 lanes;
#define LOADED _mm256_loadu_ps
#define EVERYWHERE _mm256_broadcast_ss
#if HB_FUSED
#define SUM_AND_PRODUCT(sum, a, w) _mm256_fmadd_ps(a, w, sum)
#else
#define SUM_AND_PRODUCT(sum, a, w) _mm256_add_ps(sum, _mm256_mul_ps(a, w))
#endif
#elif defined(__SSE2__) && !HB_FUSED
enum { PIXELS = 4 };
typedef __m128 lanes;
#define LOADED _mm_loadu_ps
#define EVERYWHERE _mm_load1_ps
#define SUM_AND_PRODUCT(sum, a, w) _mm_add_ps(sum, _mm_mul_ps(a, w))
#elif defined(__aarch64__) && defined(__ARM_NEON)
enum { PIXELS = 4 };
typedef float32x4_t lanes;
#define LOADED vld1q_f32
#define EVERYWHERE vld1q_dup_f32
#if HB_FUSED
#define SUM_AND_PRODUCT(sum, a, w) vfmaq_f32(sum, a, w)
#else
#define SUM_AND_PRODUCT(sum, a, w) vaddq_f32(sum, vmulq_f32(a, w))
#endif
#elif defined(__wasm_simd128__) && !HB_FUSED
enum { PIXELS = 4 };
typedef v128_t lanes;
#define LOADED wasm_v128_load
#define EVERYWHERE wasm_v128_load32_splat
#define SUM_AND_PRODUCT(sum, a, w) wasm_f32x4_add(sum, wasm_f32x4_mul(a, w))
#else
enum { PIXELS = 4 };
#endif

static inline void sums_of(float v[PIXELS][GROUP], int32_t pixels, const float *x, int32_t step, int32_t line,
                           const size *s, const float *w)
{
#ifdef LOADED
    static const float zero = 0.0f;
    lanes s0 = EVERYWHERE(&zero), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    int32_t of[8]; /* where the numbers for a vector of sums are */
    for (int32_t n = 0; n < 8; n++)
        of[n] = n * PIXELS / 8 < pixels ? n * PIXELS / 8 * step : 0;
    const int32_t of1 = of[1], of2 = of[2], of3 = of[3], of4 = of[4], of5 = of[5], of6 = of[6], of7 = of[7];
    for (int32_t i = 0; i < s->kernel; i++) {
        const float *a = x + i * line;
        for (int32_t r = 0; r < s->kernel * s->channels; r++, a++, w += GROUP) {
            const lanes first = LOADED(w), last = LOADED(w + GROUP - PIXELS);
            s0 = SUM_AND_PRODUCT(s0, EVERYWHERE(a), first);
            s1 = SUM_AND_PRODUCT(s1, EVERYWHERE(a + of1), last);
            s2 = SUM_AND_PRODUCT(s2, EVERYWHERE(a + of2), first);
            s3 = SUM_AND_PRODUCT(s3, EVERYWHERE(a + of3), last);
            s4 = SUM_AND_PRODUCT(s4, EVERYWHERE(a + of4), first);
            s5 = SUM_AND_PRODUCT(s5, EVERYWHERE(a + of5), last);
            s6 = SUM_AND_PRODUCT(s6, EVERYWHERE(a + of6), first);
            s7 = SUM_AND_PRODUCT(s7, EVERYWHERE(a + of7), last);
        }
    }
    const lanes sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7};
    memcpy(v, sums, sizeof sums);
#else
    float a[GROUP] = {0}, b[GROUP] = {0}, c[GROUP] = {0}, d[GROUP] = {0}; /* so compilers keep them in registers */
    int32_t second = pixels > 1 ? step : 0, third = pixels > 2 ? 2 * step : 0, fourth = pixels > 3 ? 3 * step : 0;
    for (int32_t i = 0; i < s->kernel; i++) {
        const float *at = x + i * line;
        for (int32_t r = 0; r < s->kernel * s->channels; r++, at++, w += GROUP)
            for (int32_t k = 0; k < GROUP; k++) {
                a[k] = ADD_PRODUCT(a[k], at[0], w[k]);
                b[k] = ADD_PRODUCT(b[k], at[second], w[k]);
                c[k] = ADD_PRODUCT(c[k], at[third], w[k]);
                d[k] = ADD_PRODUCT(d[k], at[fourth], w[k]);
            }
    }
    memcpy(v[0], a, sizeof a);
    memcpy(v[1], b, sizeof b);
    memcpy(v[2], c, sizeof c);
    memcpy(v[3], d, sizeof d);
#endif
}

#ifdef __AVX512F__
#if HB_FUSED
#define ADD_WIDE(sum, a, w) _mm512_fmadd_ps(a, w, sum)
#else
#define ADD_WIDE(sum, a, w) _mm512_add_ps(sum, _mm512_mul_ps(a, w))
#endif
enum { ROW = 16 }; /* pixels at once, whose sums stay in registers */

/* The sums of filters f ... f + WIDE - 1 for ROW pixels, `step` numbers apart. Weights in bytes become numbers on the way. */
static inline void sums_of_row(__m512 v[ROW], const layer *l, const float *x, int32_t step, int32_t line, int32_t f)
{
    const size *s = &l->size;
    const size_t terms = (size_t)(s->kernel * s->kernel * s->channels), begin = (size_t)f * terms;
    const __m512 steps = l->bytes ? _mm512_loadu_ps(l->step + f) : _mm512_setzero_ps();
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    __m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0, t4 = s0, t5 = s0, t6 = s0, t7 = s0;
    size_t t = begin;
    for (int32_t i = 0; i < s->kernel; i++) {
        const float *a = x + i * line;
        for (int32_t r = 0; r < s->kernel * s->channels; r++, a++, t += GROUP) {
            __m512 w;
            if (l->bytes) {
                const __m128i *first = (const __m128i *)(const void *)(l->bytes + t);
                const __m128i *second = (const __m128i *)(const void *)(l->bytes + t + terms * GROUP);
                const __m128i both = _mm_unpacklo_epi64(_mm_loadl_epi64(first), _mm_loadl_epi64(second));
                w = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(both)), steps);
            } else {
                w = _mm512_castsi512_ps(two_groups(l->numbers + t, terms * GROUP * sizeof *l->numbers));
            }
#define ADD_PIXEL(sum, pixel) sum = ADD_WIDE(sum, _mm512_set1_ps(a[(pixel) * step]), w)
            ADD_PIXEL(s0, 0), ADD_PIXEL(s1, 1), ADD_PIXEL(s2, 2), ADD_PIXEL(s3, 3);
            ADD_PIXEL(s4, 4), ADD_PIXEL(s5, 5), ADD_PIXEL(s6, 6), ADD_PIXEL(s7, 7);
            ADD_PIXEL(t0, 8), ADD_PIXEL(t1, 9), ADD_PIXEL(t2, 10), ADD_PIXEL(t3, 11);
            ADD_PIXEL(t4, 12), ADD_PIXEL(t5, 13), ADD_PIXEL(t6, 14), ADD_PIXEL(t7, 15);
#undef ADD_PIXEL
        }
    }
    const __m512 found[ROW] = {s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3, t4, t5, t6, t7};
    memcpy(v, found, sizeof found);
}
#endif

/* Rows top ... bottom - 1 of x or of the picture, with zeros around. */
static void gather(const size *s, const picture *shown, const float *x, int32_t top, int32_t bottom, float *rows)
{
    int32_t c = s->channels;
    size_t border = (size_t)(s->padding * c), line = (size_t)(s->width * c);
    for (int32_t y = top; y < bottom; y++, rows += line + 2 * border) {
        int outside = y < 0 || y >= s->height;
        for (size_t k = 0; k < line + 2 * border; k++)
            if (outside || k < border || k >= border + line)
                rows[k] = 0.0f;
        for (int32_t ix = 0; shown && !outside && ix < s->width; ix++)
            colours(shown, y, ix, rows + border + (size_t)(ix * c));
        if (!shown && !outside)
            memcpy(rows + border, x + y * s->width * c, line * sizeof *rows);
    }
}

/* Real numbers, of x or of the picture. memory: of the weights of a group of filters if they are bytes, and behind them of
 * the rows that a row of outputs needs, unless it is 1x1. */
HB_STEP void conv2d(const layer *l, const picture *shown, const float *x, float *memory, float *y, int32_t y_step,
                   const float *skip, int32_t skip_step)
{
    const target to = {y, skip, NULL, y_step, skip_step};
    const size *s = &l->size;
    int32_t terms = s->kernel * s->kernel * s->channels, step = s->stride * s->channels;
    int32_t line = (s->width + 2 * s->padding) * s->channels;
    for (int32_t oy = 0; oy < s->out_height; oy++) {
        const float *rows = x ? x + oy * line : NULL;
        if (shown || s->kernel > 1 || s->stride > 1) {
            float *gathered = l->bytes ? memory + terms * GROUP : memory;
            int32_t top = oy * s->stride - s->padding, kept = oy > 0 && s->kernel > s->stride ? s->kernel - s->stride : 0;
            memmove(gathered, gathered + s->stride * line, (size_t)(kept * line) * sizeof *gathered);
            gather(s, shown, x, top + kept, top + s->kernel, gathered + kept * line);
            rows = gathered;
        }
        int32_t f = 0;
#ifdef __AVX512F__
        for (; s->out_width >= ROW && f + GROUP < s->filters; f += WIDE)
            for (int32_t done = 0; done < s->out_width;) {
                int32_t ox = done + ROW > s->out_width ? s->out_width - ROW : done; /* the last may overlap */
                __m512 v[ROW];
                sums_of_row(v, l, rows + ox * step, step, line, f);
                for (int32_t p = done - ox; p < ROW; p++)
                    finish_wide(&l->end, &to, v[p], oy * s->out_width + ox + p, f, s->filters);
                done = ox + ROW;
            }
#endif
        for (; f < s->filters; f += GROUP) {
            int32_t count = s->filters - f < GROUP ? s->filters - f : GROUP;
            const float *w = memory;
            if (l->numbers)
                w = l->numbers + f * terms;
            for (int32_t t = 0; l->bytes && t < terms; t++)
                for (int32_t k = 0; k < GROUP; k++)
                    memory[t * GROUP + k] = (float)l->bytes[f * terms + t * GROUP + k] * l->step[f + k];
            for (int32_t ox = 0; ox < s->out_width; ox += PIXELS) {
                float v[PIXELS][GROUP];
                int32_t pixels = s->out_width - ox < PIXELS ? s->out_width - ox : PIXELS;
                sums_of(v, pixels, rows + ox * step, step, line, s, w);
                for (int32_t p = 0; p < pixels; p++)
                    finish(&l->end, &to, v[p], oy * s->out_width + ox + p, f, count, s->filters);
            }
        }
    }
}

