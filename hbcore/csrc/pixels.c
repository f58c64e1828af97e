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

static void affine(const hb_pixels *w, const float *x, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = w->scale[c] * x[c] + w->shift[c];
}

static void rectify(const hb_pixels *w, const float *x, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = x[c] <= 0.0f ? 0.0f : x[c]; /* NaN stays, -0 does not */
}

static void where(const hb_pixels *w, const float *x, const float *other, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = x[c] * (other[c] > 0.0f ? 1.0f : 0.0f);
}

static void add(const hb_pixels *w, const float *x, const float *other, float *y)
{
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = x[c] + other[c];
}

static void sum(const hb_pixels *w, const float *x, float *y, float divisor)
{
    const float *right = x + w->x_step, *below = x + w->width * w->x_step, *across = below + w->x_step;
    for (ptrdiff_t c = 0; c < w->channels; c++)
        y[c] = (x[c] + right[c] + below[c] + across[c]) / divisor;
}

/* One row of y. */
static void row(void *context, ptrdiff_t number)
{
    const hb_pixels *w = context;
    int half = w->kind == HB_SUM_POOL || w->kind == HB_AVG_POOL, twice = w->kind == HB_UPSAMPLE;
    ptrdiff_t width = half ? w->width / 2 : twice ? w->width * 2 : w->width;
    const float *x = w->x + (half ? 2 * number : twice ? number / 2 : number) * w->width * w->x_step;
    float *y = w->y + number * width * w->y_step;
    for (ptrdiff_t p = 0; p < width; p++, y += w->y_step) {
        const float *other = w->other == NULL ? NULL : w->other + (number * width + p) * w->other_step;
        switch (w->kind) {
        case HB_LINE: line(w, x + p * w->x_step, y); break;
        case HB_AFFINE: affine(w, x + p * w->x_step, y); break;
        case HB_RECTIFY: rectify(w, x + p * w->x_step, y); break;
        case HB_WHERE: where(w, x + p * w->x_step, other, y); break;
        case HB_ADD:
            if (other != NULL)
                add(w, x + p * w->x_step, other, y);
            else
                memcpy(y, x + p * w->x_step, (size_t)w->channels * sizeof *y);
            break;
        case HB_SUM_POOL: sum(w, x + 2 * p * w->x_step, y, 1.0f); break;
        case HB_AVG_POOL: sum(w, x + 2 * p * w->x_step, y, 4.0f); break;
        case HB_UPSAMPLE: memcpy(y, x + p / 2 * w->x_step, (size_t)w->channels * sizeof *y); break;
        }
    }
}

void hb_run_pixels(const hb_pixels *work)
{
    hb_pixels w = *work;
    int alike = w.kind == HB_RECTIFY || w.kind == HB_WHERE || w.kind == HB_ADD; /* all numbers of a pixel */
    if (alike && w.x_step == w.channels && w.y_step == w.channels && (w.other == NULL || w.other_step == w.channels)) {
        w.channels *= w.width; /* a row is one large pixel */
        w.x_step = w.y_step = w.other_step = w.channels;
        w.width = 1;
    }
    ptrdiff_t rows = w.batch * w.height;
    rows = w.kind == HB_SUM_POOL || w.kind == HB_AVG_POOL ? rows / 2 : w.kind == HB_UPSAMPLE ? rows * 2 : rows;
    hb_run(row, &w, rows);
}
