/* A binary unit of stride 1 in training, each direction in one call: batch norm, sign and binary convolution, whose
 * networks are small enough for a dozen calls from Python to take as long as the work.
 *
 *     forward     m, v of x;   r = 1 / sqrt(v + eps);   S = sign(gamma r (x - m) + beta);   y = alpha (S * sign(W))
 *     backward    from g = dL/dy, in bytes (template/gradients/), by hbcore/binary/unit.py's equations
 *
 * Per-channel numbers are rounded to float32 step by step, as NumPy does in hbcore/kernels/units.py.
 */
#ifndef HBCORE_UNIT_H
#define HBCORE_UNIT_H

#include "kernels.h"

typedef struct {
    hb_conv size;
    const float *x, *gamma, *w;
    uint64_t *signs, *inside;  /* (pixels of x, words) */
    float *alpha;              /* (O), padded */
    float *mean, *variance, *r; /* (C) */
} hb_unit;

/* Fills all but x, gamma and w, and y. Returns 0, 1 if NaN has no sign, -1 where memory ran out. */
int hb_unit_forward(const hb_kernels *kernels, hb_unit *unit, const float *beta, float eps, float *y);

/* dx is dL/dx, plus `so_far` unless that is NULL; g and so_far have a step from pixel to pixel. */
int hb_unit_backward(const hb_kernels *kernels, const hb_unit *unit, const float *g, ptrdiff_t g_step,
                     const float *so_far, ptrdiff_t so_far_step, float *dx, float *dgamma, float *dbeta, float *dw);

#endif
