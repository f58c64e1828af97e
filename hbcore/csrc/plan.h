/* A whole network as a list of steps: one call runs them all, without coming back to Python in between. */
#ifndef HBCORE_PLAN_H
#define HBCORE_PLAN_H

#include "kernels.h"
#include "pixels.h"

typedef enum { HB_CONV2D, HB_BINARY_CONV2D, HB_THRESHOLD, HB_MAX_POOL, HB_UPSAMPLE_ADD, HB_PIXELS } hb_kind;

/* Memory belongs to whoever makes the plan. `size` holds batch, height, width and channels of `in` for every kind. */
typedef struct {
    hb_kind kind;
    hb_conv size;
    const void *in;      /* floats, or bits for a binary convolution */
    const void *filters; /* panels of HB_CONV2D, thresholds of HB_THRESHOLD */
    hb_filters packed;   /* of HB_BINARY_CONV2D */
    const uint64_t *flip;
    void *out; /* where there is no epilogue */
    hb_epilogue end;
    hb_pixels pixels; /* of HB_PIXELS, which has nothing else */
} hb_step;

/* 0, or -1 where memory ran out. */
int hb_run_plan(const hb_kernels *kernels, const hb_step *steps, ptrdiff_t count);

#endif
