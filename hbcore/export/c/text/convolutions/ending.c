/* ---------------------------------------------------------------------------------------- after the sums
 *
 * What becomes of each sum v of filter f, in this order; what is NULL or 0 is left out:
 *
 *     v = alpha v,   v = v + bias,   v = max(v, 0),   v = v > 0 ? v : slope v,   v = scale v + shift,   v = max(v, 0),
 *     bit of the next convolution = (v < threshold) xor flip,   y = v + skip
 *
 * Products and sums are rounded one by one: -ffp-contract=off where a compiler does not know the lines below, and casts
 * where it would keep more digits (FLT_EVAL_METHOD 1 or 2: rounding these again changes nothing). Only sums of
 * real-valued convolutions are rounded once for both where the hardware does that as fast: HB_FUSED 0 forbids it.
 */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2 && !defined(__STRICT_ANSI__)
#error casts do not round here: give -std=c99, or -msse2 -mfpmath=sse
#endif

#ifndef HB_FUSED
#if defined(__FP_FAST_FMAF) || defined(__FMA__)
#define HB_FUSED 1
#else
#define HB_FUSED 0
#endif
#endif

/* Where GCC 12 sees that constants of alternating signs are added to products, it rounds these once in spite of
 * -ffp-contract=off: so it must not see the constants in here. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define HB_STEP static __attribute__((noipa))
#else
#define HB_STEP static
#endif

#ifdef __SSE2__
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

enum { GROUP = 8 }; /* filters at once */

typedef struct {
    const float *alpha, *bias, *slope, *scale, *shift, *threshold;
    const uint32_t *flip;
    int relu, relu_last;
} ending;

/* Where results go: numbers, `step` from one pixel to the next, plus those of a skip path; and bits. NULL for none. */
typedef struct {
    float *y;
    const float *skip;
    uint32_t *bits;
    int32_t y_step, skip_step;
} target;

/* What becomes of the sums of filters f ... f + GROUP - 1, up to the comparison. Constants go on to a multiple of GROUP. */
static inline void end_sums(const ending *e, float *v, int32_t f)
{
#ifdef __AVX__
    const __m256 zero = _mm256_setzero_ps();
    __m256 s = _mm256_loadu_ps(v);
    if (e->alpha)
        s = _mm256_mul_ps(s, _mm256_loadu_ps(e->alpha + f));
    if (e->bias)
        s = _mm256_add_ps(s, _mm256_loadu_ps(e->bias + f));
    if (e->relu)
        s = _mm256_max_ps(s, zero);
    if (e->slope)
        s = _mm256_blendv_ps(_mm256_mul_ps(s, _mm256_loadu_ps(e->slope + f)), s, _mm256_cmp_ps(s, zero, _CMP_GT_OQ));
    if (e->scale)
        s = _mm256_add_ps(_mm256_mul_ps(s, _mm256_loadu_ps(e->scale + f)), _mm256_loadu_ps(e->shift + f));
    if (e->relu_last)
        s = _mm256_max_ps(s, zero);
    _mm256_storeu_ps(v, s);
#else
    int32_t k;
    if (e->alpha)
        for (k = 0; k < GROUP; k++)
            v[k] *= e->alpha[f + k];
    if (e->bias)
        for (k = 0; k < GROUP; k++)
            v[k] += e->bias[f + k];
    if (e->relu)
        for (k = 0; k < GROUP; k++)
            v[k] = v[k] > 0.0f ? v[k] : 0.0f;
    if (e->slope)
        for (k = 0; k < GROUP; k++)
            v[k] = v[k] > 0.0f ? v[k] : v[k] * e->slope[f + k];
    if (e->scale)
        for (k = 0; k < GROUP; k++)
            v[k] = (float)(v[k] * e->scale[f + k]) + e->shift[f + k];
    if (e->relu_last)
        for (k = 0; k < GROUP; k++)
            v[k] = v[k] > 0.0f ? v[k] : 0.0f;
#endif
}

/* A bit for each of eight numbers, set where v is below the threshold. */
static inline uint32_t below_eight(const float *v, const float *threshold)
{
#ifdef __AVX__
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(v), _mm256_loadu_ps(threshold), _CMP_LT_OQ));
#else
    uint32_t below = 0;
    for (int32_t k = 0; k < GROUP; k++)
        below |= (uint32_t)(v[k] < threshold[k]) << k;
    return below;
#endif
}

/* y = v + skip, for eight numbers, that may be in the same place. */
static inline void add_eight(float *y, const float *v, const float *skip)
{
#ifdef __AVX__
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(v), _mm256_loadu_ps(skip)));
#else
    for (int32_t k = 0; k < GROUP; k++)
        y[k] = v[k] + skip[k];
#endif
}

/* Filters f ... f + count - 1 of one pixel. Beyond the last filter thresholds are so low that bits are 0. */
static inline void finish(const ending *e, const target *to, float *v, int32_t pixel, int32_t f, int32_t count,
                          int32_t filters)
{
    end_sums(e, v, f);
    if (to->bits) {
        uint32_t *word = to->bits + pixel * ((filters + 31) / 32) + f / 32;
        if (f % 32 == 0)
            *word = e->flip[f / 32];
        *word ^= below_eight(v, e->threshold + f) << f % 32;
    }
    if (to->y) {
        float *y = to->y + pixel * to->y_step + f;
        const float *skip = to->skip ? to->skip + pixel * to->skip_step + f : NULL;
        if (count == GROUP && skip)
            add_eight(y, v, skip);
        else if (count == GROUP)
            memcpy(y, v, GROUP * sizeof *y);
        else
            for (int32_t k = 0; k < count; k++)
                y[k] = skip ? v[k] + skip[k] : v[k];
    }
}

#ifdef __AVX512F__
enum { WIDE = 2 * GROUP }; /* filters at once where registers hold so many */

/* What lies at `first`, of one group, and so many bytes behind it, of the next. */
static inline __m512i two_groups(const void *first, size_t bytes)
{
    const __m256i *low = (const __m256i *)first;
    const __m256i *high = (const __m256i *)(const void *)((const char *)first + bytes);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(low)), _mm256_loadu_si256(high), 1);
}

/* The same as `finish` for the sums of filters f ... f + WIDE - 1, of which those beyond the last are left alone. */
static inline void finish_wide(const ending *e, const target *to, __m512 v, int32_t pixel, int32_t f, int32_t filters)
{
    const __mmask16 there = (__mmask16)(filters - f < WIDE ? (1 << (filters - f)) - 1 : 0xFFFF);
    const __m512 zero = _mm512_setzero_ps();
    if (e->alpha)
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(there, e->alpha + f));
    if (e->bias)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(there, e->bias + f));
    if (e->relu)
        v = _mm512_max_ps(v, zero);
    if (e->slope)
        v = _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, zero, _CMP_NGT_UQ), v,
                               _mm512_maskz_loadu_ps(there, e->slope + f));
    if (e->scale)
        v = _mm512_add_ps(_mm512_mul_ps(v, _mm512_maskz_loadu_ps(there, e->scale + f)),
                          _mm512_maskz_loadu_ps(there, e->shift + f));
    if (e->relu_last)
        v = _mm512_max_ps(v, zero);
    if (to->bits) {
        uint32_t *word = to->bits + pixel * ((filters + 31) / 32) + f / 32;
        if (f % 32 == 0)
            *word = e->flip[f / 32];
        const __m512 threshold = _mm512_maskz_loadu_ps(there, e->threshold + f);
        *word ^= (uint32_t)_mm512_mask_cmp_ps_mask(there, v, threshold, _CMP_LT_OQ) << f % 32;
    }
    if (to->y) {
        if (to->skip)
            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(there, to->skip + pixel * to->skip_step + f));
        _mm512_mask_storeu_ps(to->y + pixel * to->y_step + f, there, v);
    }
}
#endif

