/* The compiled kernels: one table of functions per instruction set, all with the same results.
 *
 * Layouts: pictures (N, H, W, C), filters (kH, kW, C, O), bits (N, H, W, words): bit i of word w is channel 64 w + i,
 * 1 means -1, tail bits are 0. "Same results" is to the bit for everything binary, to rounding for sums of reals (an
 * instruction set with fused multiply-add rounds once where others round twice). No result depends on the threads.
 */
#ifndef HBCORE_KERNELS_H
#define HBCORE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Sizes of a convolution over pictures of height x width with zeros around them. */
typedef struct {
    ptrdiff_t batch, height, width, channels;
    ptrdiff_t kernel_h, kernel_w, stride, pad_h, pad_w;
    ptrdiff_t out_h, out_w, filters;
} hb_conv;

/* Functions return 0, or -1 where memory ran out. */
typedef struct {
    const char *name;

    /* y = x * w */
    int (*conv2d)(const hb_conv *size, const float *x, const float *w, float *y);

    /* dw = gradient of the filters for g = dL/dy; x as floats, or as signs in bits where x is NULL. */
    int (*conv2d_weight_gradient)(const hb_conv *size, const float *x, const uint64_t *bits, const float *g, float *dw);

    /* y = alpha (signs * w); w: bits (kH, kW, words, O). */
    int (*binary_conv2d)(const hb_conv *size, const uint64_t *x, const uint64_t *w, const float *alpha, float *y);

    /* Rows of C channels. sums += x - origin, squares += (x - origin)^2. */
    int (*moments)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *origin, double *sums,
                   double *squares);

    /* v = scale x + shift: signs = bits of v < 0, window = bits of -1 < v < 1. Returns 1 if any v is NaN. */
    int (*norm_sign)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                     uint64_t *signs, uint64_t *window);

    /* With g set to 0 outside the window: sums += g, products += g (x - mean). */
    int (*norm_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *window,
                     const float *mean, double *sums, double *products);

    /* With g set to 0 outside the window: out = a g + b x + c. out may be g. */
    int (*norm_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *window,
                         const float *a, const float *b, const float *c, float *out);
} hb_kernels;

/* The best table that this CPU can run, or the one called `name` if that is not NULL; NULL if there is none. */
const hb_kernels *hb_choose(const char *name);

#endif
