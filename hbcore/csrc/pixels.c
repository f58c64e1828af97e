#include "pixels.h"

#include "pool.h"

#include <string.h>

static void line(const hb_pixels *w, const float *x, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++) {
        float v = w->scale[c] * x[c] + w->shift[c];
        y[c] = w->sign ? (v < 0.0f ? -1.0f : 1.0f) : (v > 0.0f ? v : 0.0f);
    }
}

static void add(const hb_pixels *w, const float *x, const float *other, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = x[c] + other[c];
}

static void average(const hb_pixels *w, const float *x, float *y)
{
    const float *right = x + w->x_step, *below = x + w->width * w->x_step, *across = below + w->x_step;
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = (x[c] + right[c] + below[c] + across[c]) / 4.0f;
}

/* One row of y. */
static void row(void *context, ptrdiff_t number)
{
    const hb_pixels *w = context;
    int half = w->kind == HB_AVG_POOL, twice = w->kind == HB_UPSAMPLE;
    ptrdiff_t width = half ? w->width / 2 : twice ? w->width * 2 : w->width;
    const float *x = w->x + (half ? 2 * number : twice ? number / 2 : number) * w->width * w->x_step;
    float *y = w->y + number * width * w->y_step;
    for (ptrdiff_t p = 0; p < width; p++, y += w->y_step)
        switch (w->kind) {
        case HB_LINE: line(w, x + p * w->x_step, y); break;
        case HB_ADD:
            if (w->other != NULL)
                add(w, x + p * w->x_step, w->other + (number * width + p) * w->other_step, y);
            else
                memcpy(y, x + p * w->x_step, (size_t)w->channels * sizeof *y);
            break;
        case HB_AVG_POOL: average(w, x + 2 * p * w->x_step, y); break;
        case HB_UPSAMPLE: memcpy(y, x + p / 2 * w->x_step, (size_t)w->channels * sizeof *y); break;
        }
}

void hb_run_pixels(const hb_pixels *work)
{
    ptrdiff_t rows = work->batch * work->height;
    rows = work->kind == HB_AVG_POOL ? rows / 2 : work->kind == HB_UPSAMPLE ? rows * 2 : rows;
    hb_run(row, (void *)work, rows);
}
