#include "plan.h"

static int run_step(const hb_kernels *k, const hb_step *s)
{
    const hb_conv *size = &s->size;
    ptrdiff_t rows = size->batch * size->height * size->width;
    switch (s->kind) {
    case HB_CONV2D: return k->conv2d(size, s->in, NULL, s->filters, &s->end);
    case HB_BINARY_CONV2D: return k->binary_conv2d(size, s->in, &s->packed, &s->end);
    case HB_THRESHOLD: return k->threshold(rows, size->channels, s->in, s->filters, s->flip, s->out);
    case HB_MAX_POOL:
        k->max_pool(size->batch, size->height, size->width, size->channels, s->in, s->out, NULL);
        return 0;
    case HB_PIXELS: hb_run_pixels(&s->pixels); return 0;
    case HB_UPSAMPLE_ADD: return k->upsample_add(size->batch, size->height, size->width, size->channels, s->in, s->out);
    }
    return -1;
}

int hb_run_plan(const hb_kernels *kernels, const hb_step *steps, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (run_step(kernels, &steps[i]) != 0)
            return -1;
    return 0;
}
