/* What is done with pixels beside convolutions, thresholds and the largest of four: seldom met, so in plain loops. */
#ifndef HBCORE_PIXELS_H
#define HBCORE_PIXELS_H

#include <stddef.h>

/* For x of height x width pixels of so many channels, y of as many, or half or twice as many on a side:
 *
 *     HB_LINE      for v = scale x + shift:  y = max(v, 0), or with `sign`  y = v < 0 ? -1 : 1
 *     HB_AFFINE    y = scale x + shift
 *     HB_RECTIFY   y = max(x, 0)
 *     HB_WHERE     y = x times 1 where other > 0, times 0 elsewhere
 *     HB_ADD       y = x + other, or y = x where other is NULL
 *     HB_SUM_POOL  y[p] = x[2 p] + x[2 p + (0, 1)] + x[2 p + (1, 0)] + x[2 p + (1, 1)]
 *     HB_AVG_POOL  y[p] = the same / 4
 *     HB_UPSAMPLE  y[p] = x[p / 2]
 */
typedef enum {
    HB_LINE,
    HB_AFFINE,
    HB_RECTIFY,
    HB_WHERE,
    HB_ADD,
    HB_SUM_POOL,
    HB_AVG_POOL,
    HB_UPSAMPLE
} hb_pixels_kind;

typedef struct {
    hb_pixels_kind kind;
    ptrdiff_t batch, height, width, channels; /* of x */
    const float *x, *other, *scale, *shift;
    int sign;
    float *y;
    ptrdiff_t x_step, other_step, y_step; /* floats from one pixel to the next */
} hb_pixels;

void hb_run_pixels(const hb_pixels *work);

#endif
