/* ---------------------------------------------------------------------------------------- after the sums
 *
 * What becomes of each sum v of filter f, in this order; what is NULL or 0 is left out:
 *
 *     v = alpha v,   v = v + bias,   v = max(v, 0),   v = v > 0 ? v : slope v,   v = scale v + shift,   v = max(v, 0),
 *     bit of the next convolution = (v < threshold) xor flip,   y = v + skip
 *
 * Products and sums are rounded one by one: -ffp-contract=off where a compiler does not know the line below. Only sums of
 * real-valued convolutions are rounded once for both where the hardware does that as fast: HB_FUSED 0 forbids it.
 */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
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

/* Filters f ... f + count - 1 (at most GROUP) of one pixel. */
static void finish(const ending *e, const target *to, float *v, int32_t pixel, int32_t f, int32_t count, int32_t filters)
{
    int32_t k;
    if (e->alpha)
        for (k = 0; k < count; k++)
            v[k] *= e->alpha[f + k];
    if (e->bias)
        for (k = 0; k < count; k++)
            v[k] += e->bias[f + k];
    if (e->relu)
        for (k = 0; k < count; k++)
            v[k] = v[k] > 0.0f ? v[k] : 0.0f;
    if (e->slope)
        for (k = 0; k < count; k++)
            v[k] = v[k] > 0.0f ? v[k] : v[k] * e->slope[f + k];
    if (e->scale)
        for (k = 0; k < count; k++)
            v[k] = v[k] * e->scale[f + k] + e->shift[f + k];
    if (e->relu_last)
        for (k = 0; k < count; k++)
            v[k] = v[k] > 0.0f ? v[k] : 0.0f;
    if (to->bits) {
        uint32_t *word = to->bits + pixel * ((filters + 31) / 32) + f / 32, below = 0;
        for (k = 0; k < count; k++)
            below |= (uint32_t)(v[k] < e->threshold[f + k]) << k;
        if (f % 32 == 0)
            *word = e->flip[f / 32];
        *word ^= below << f % 32;
    }
    if (to->y) {
        float *y = to->y + pixel * to->y_step + f;
        const float *skip = to->skip ? to->skip + pixel * to->skip_step + f : NULL;
        for (k = 0; k < count; k++)
            y[k] = skip ? v[k] + skip[k] : v[k];
    }
}

