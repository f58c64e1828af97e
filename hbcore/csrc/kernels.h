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

/* The epilogue of a sum, before it is stored. In this order, each step per filter and left out where it is NULL or 0:
 *
 *     v = alpha v,   v = v + bias,   v = max(v, 0),   v = v > 0 ? v : slope v,   v = scale v + shift,   v = max(v, 0),
 *     bits = (v < threshold) xor flip,   y = v + skip
 *
 * Arrays of one number per filter are padded to a multiple of HB_PAD. steps: from one pixel to the next.
 */
enum { HB_PAD = 32 };

typedef struct {
    const float *alpha, *bias;
    int relu;
    const float *slope, *scale, *shift;
    int relu_last;
    const float *threshold;
    const uint64_t *flip;
    uint64_t *bits;
    const float *skip;
    float *y;
    ptrdiff_t skip_step, y_step;
} hb_epilogue;

/* Packed filters as binary_conv2d wants them, made by hb_make_filters: in nibbles, to be looked up; or in panels of as many
 * words of 32 bits as there are lanes, with the sum of the signs in each tap (kH, kW, O), filters padded to whole registers;
 * or as bytes in tiles, of +1 and -1 or of what pairs of outputs share (tiles/pairs.h). What is not there is NULL. */
typedef struct {
    uint32_t *words;
    int32_t *sums;
    uint8_t *nibbles;
    int8_t *tiles, *pairs;
} hb_filters;

/* Rows of `width` numbers, and the step from one to the next. */
typedef struct {
    const float *x;
    ptrdiff_t width, step;
} hb_part;

/* Functions return 0, or -1 where memory ran out. */
typedef struct {
    const char *name;
    ptrdiff_t lanes; /* floats in a register */
    int tables;      /* whether binary_conv2d can look counts up */
    int tiles;       /* whether it can multiply bytes in tiles */

    /* y = x * w; x as floats, or as signs in bits where x is NULL; w in panels of 2 lanes, see panels.h. No bits come of
     * it: they are for binary convolutions only. */
    int (*conv2d)(const hb_conv *size, const float *x, const uint64_t *bits, const float *w, const hb_epilogue *end);

    /* dw = gradient of the filters for g = dL/dy; x as floats, or as signs in bits where x is NULL. */
    int (*conv2d_weight_gradient)(const hb_conv *size, const float *x, const uint64_t *bits, const float *g, float *dw);

    /* The same two products for a binary convolution of stride 1, from gradients in bytes (gradients/). g has a step from
     * pixel to pixel. dx: of the signs, for a convolution of alpha g with the filters of the layer turned round, in
     * panels of 2 lanes; alpha is padded. dw: of alpha sign(W). */
    int (*sign_gradient)(const hb_conv *size, const float *g, ptrdiff_t g_step, const float *alpha,
                         const uint8_t *panels, float *dx);
    int (*filter_gradient)(const hb_conv *size, const uint64_t *bits, const float *g, ptrdiff_t g_step, float *dw);

    /* y = signs * w. */
    int (*binary_conv2d)(const hb_conv *size, const uint64_t *x, const hb_filters *w, const hb_epilogue *end);

    /* Rows of C channels. sums += x - origin, squares += (x - origin)^2. */
    int (*centred_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *origin, double *sums,
                        double *squares);

    /* v = scale x + shift: signs = bits of v < 0, inside = bits of -1 < v < 1. Returns 1 if any v is NaN. */
    int (*norm_sign)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                     uint64_t *signs, uint64_t *inside);

    /* With g set to 0 except inside, unless that is NULL: sums += g, products += g (x - mean). */
    int (*norm_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *inside,
                     const float *mean, double *sums, double *products);

    /* With g set to 0 except inside, unless that is NULL: out = a g + b x + c, and so_far more unless that is NULL, which
     * has a step from row to row. out may be g. */
    int (*norm_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *inside,
                         const float *a, const float *b, const float *c, const float *so_far, ptrdiff_t so_far_step,
                         float *out);

    /* out = tanh(half (scale x + shift)). */
    int (*norm_smooth)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                       float half, float *out);

    /* g = g (1 - s^2) half. */
    int (*smooth_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *s, float half, float *g);

    /* out = slope x where x <= 0, else x. */
    int (*prelu)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *slope, float *out);

    /* out = slope g where x <= 0, else g, which has a step from row to row; sums += g x where x <= 0. */
    int (*prelu_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *slope, const float *g,
                          ptrdiff_t g_step, float *out, double *sums);

    /* bits = (x < threshold) xor flip, thresholds padded. */
    int (*threshold)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *threshold, const uint64_t *flip,
                     uint64_t *bits);

    /* y (N, H / 2, W / 2, C) = largest of each 2 x 2 pixels of x (N, H, W, C), and which of the four, in reading order,
     * has it first, unless winner is NULL. Returns 1 if any x is NaN. */
    int (*max_pool)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *x, float *y,
                    uint8_t *winner);

    /* dx (N, H, W, C) = g at the winners and 0 elsewhere. */
    int (*max_pool_backward)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                             const uint8_t *winner, const float *g, float *dx);

    /* out = skip + (parts side by side) over rows, each array with its own step from row to row. */
    int (*join)(ptrdiff_t rows, const hb_part *parts, ptrdiff_t count, const float *skip, ptrdiff_t skip_step, float *out,
                ptrdiff_t out_step);

    /* y (N, 2 h, 2 w, C) += x (N, h, w, C), each pixel four times. */
    int (*upsample_add)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *x, float *y);

    /* For benchmarks: xor and count `rounds` x 8 registers that never leave the CPU; returns something of the counts. */
    uint64_t (*count_rounds)(ptrdiff_t rounds);
} hb_kernels;

/* The best table that this CPU can run, or the one called `name` if that is not NULL; NULL if there is none. */
const hb_kernels *hb_choose(const char *name);

#endif
