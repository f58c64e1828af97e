#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "panels.h"
#include "pool.h"

static ptrdiff_t rows_of(const hb_conv *s)
{
    return s->batch * s->height * s->width;
}

/* Mean, biased variance and 1 / deviation per channel; sums: room for 2 C. */
static int measure(const hb_kernels *kernels, hb_unit *u, float eps, double *sums)
{
    ptrdiff_t rows = rows_of(&u->size), channels = u->size.channels;
    double *squares = sums + channels;
    memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
    /* An origin near the mean keeps the squares small: the first pixel. */
    if (kernels->centred_sums(rows, channels, u->x, u->x, sums, squares) != 0)
        return -1;
    for (ptrdiff_t c = 0; c < channels; c++) {
        double distance = sums[c] / (double)rows;
        u->mean[c] = (float)((double)u->x[c] + distance);
        u->variance[c] = (float)(squares[c] / (double)rows - distance * distance);
        u->r[c] = 1.0f / sqrtf(u->variance[c] + eps);
    }
    return 0;
}

enum { COLUMNS = 16, STRIPES = 4 }; /* filters that are packed, and parts of the filters' gradient scaled, by one thread */

typedef struct {
    const hb_unit *unit;
    uint64_t *words;
} packing;

/* alpha = mean |w| of some filters, and their signs packed along C. */
static void pack_columns(void *context, ptrdiff_t item)
{
    const packing *work = context;
    const hb_conv *s = &work->unit->size;
    ptrdiff_t first = item * COLUMNS, count = s->filters - first < COLUMNS ? s->filters - first : COLUMNS;
    ptrdiff_t taps = s->kernel_h * s->kernel_w, depth = (s->channels + 63) / 64;
    const float *w = work->unit->w + first;
    float *alpha = work->unit->alpha + first;
    memset(alpha, 0, (size_t)count * sizeof *alpha);
    for (ptrdiff_t t = 0; t < taps; t++)
        for (ptrdiff_t c = 0; c < s->channels; c++, w += s->filters) {
            uint64_t *row = work->words + (t * depth + c / 64) * s->filters + first;
            for (ptrdiff_t o = 0; o < count; o++) {
                row[o] = (c % 64 ? row[o] : 0) | (uint64_t)(w[o] < 0) << (c % 64);
                alpha[o] += fabsf(w[o]);
            }
        }
    for (ptrdiff_t o = 0; o < count; o++)
        alpha[o] /= (float)(taps * s->channels);
}

/* alpha, padded with zeros, and packed signs; returns 1 if any w is NaN. */
static int pack(const hb_unit *u, uint64_t *words)
{
    ptrdiff_t filters = u->size.filters;
    packing work = {u, words};
    hb_run(pack_columns, &work, (filters + COLUMNS - 1) / COLUMNS);
    int nan = 0; /* infinities have a mean */
    for (ptrdiff_t o = 0; o < filters; o++)
        nan |= u->alpha[o] != u->alpha[o];
    memset(u->alpha + filters, 0, (size_t)((HB_PAD - filters % HB_PAD) % HB_PAD) * sizeof *u->alpha);
    return nan;
}

int hb_unit_forward(const hb_kernels *kernels, hb_unit *u, const float *beta, float eps, float *y)
{
    const hb_conv *s = &u->size;
    ptrdiff_t channels = s->channels, words = s->kernel_h * s->kernel_w * ((channels + 63) / 64) * s->filters;
    double *sums = malloc((size_t)channels * (2 * sizeof(double) + 2 * sizeof(float)));
    uint64_t *packed = malloc((size_t)words * sizeof *packed);
    int status = -1;
    if (sums != NULL && packed != NULL)
        status = measure(kernels, u, eps, sums);
    if (status == 0) {
        float *scale = (float *)(sums + 2 * channels), *shift = scale + channels;
        for (ptrdiff_t c = 0; c < channels; c++) {
            scale[c] = u->gamma[c] * u->r[c];
            shift[c] = beta[c] - scale[c] * u->mean[c];
        }
        status = kernels->norm_sign(rows_of(s), channels, u->x, scale, shift, u->signs, u->inside);
    }
    if (status == 0)
        status = pack(u, packed);
    if (status == 0) {
        hb_filters filters;
        hb_epilogue end = {.alpha = u->alpha, .y = y, .y_step = s->filters};
        status = hb_make_filters(&filters, kernels, s, packed);
        if (status == 0)
            status = kernels->binary_conv2d(s, u->signs, &filters, &end);
        hb_free_filters(&filters);
    }
    free(packed);
    free(sums);
    return status;
}

/* dL/dx from ds = dL/dS, in its place. */
static int normalise_back(const hb_kernels *kernels, const hb_unit *u, const float *so_far, ptrdiff_t so_far_step,
                          float *ds, float *dgamma, float *dbeta)
{
    ptrdiff_t rows = rows_of(&u->size), channels = u->size.channels;
    double *sums = calloc((size_t)channels, 2 * sizeof(double) + 3 * sizeof(float));
    if (sums == NULL)
        return -1;
    double *products = sums + channels;
    float *a = (float *)(products + channels), *b = a + channels, *c = b + channels, count = (float)rows;
    int status = kernels->norm_sums(rows, channels, u->x, ds, u->inside, u->mean, sums, products);
    for (ptrdiff_t k = 0; status == 0 && k < channels; k++) {
        dbeta[k] = (float)sums[k];
        dgamma[k] = (float)products[k] * u->r[k];
        a[k] = u->gamma[k] * u->r[k];
        b[k] = -a[k] * u->r[k] * dgamma[k] / count;
        c[k] = -a[k] * dbeta[k] / count - b[k] * u->mean[k];
    }
    if (status == 0)
        status = kernels->norm_backward(rows, channels, u->x, ds, u->inside, a, b, c, so_far, so_far_step, ds);
    free(sums);
    return status;
}

typedef struct {
    const hb_unit *unit;
    float *dw;
} scaling;

/* Some rows of dL/dW = dL/dW~ (1 / n + alpha [-1 < W < 1]). */
static void scale_rows(void *context, ptrdiff_t item)
{
    const scaling *work = context;
    const hb_conv *s = &work->unit->size;
    const float *alpha = work->unit->alpha;
    ptrdiff_t rows = s->kernel_h * s->kernel_w * s->channels;
    float share = 1.0f / (float)rows;
    for (ptrdiff_t i = rows * item / STRIPES; i < rows * (item + 1) / STRIPES; i++) {
        const float *w = work->unit->w + i * s->filters;
        float *dw = work->dw + i * s->filters;
        for (ptrdiff_t o = 0; o < s->filters; o++)
            dw[o] *= share + (w[o] < 1 && w[o] > -1 ? alpha[o] : 0.0f);
    }
}

int hb_unit_backward(const hb_kernels *kernels, const hb_unit *u, const float *g, ptrdiff_t g_step, const float *so_far,
                     ptrdiff_t so_far_step, float *dx, float *dgamma, float *dbeta, float *dw)
{
    const hb_conv *s = &u->size;
    ptrdiff_t taps = s->kernel_h * s->kernel_w;
    int status = kernels->filter_gradient(s, u->signs, g, g_step, dw);
    if (status != 0)
        return status;
    scaling scaled = {u, dw};
    hb_run(scale_rows, &scaled, STRIPES);
    hb_conv back = {.batch = s->batch, .height = s->out_h, .width = s->out_w, .channels = s->filters,
                    .kernel_h = s->kernel_h, .kernel_w = s->kernel_w, .stride = 1, .pad_h = s->kernel_h - 1 - s->pad_h,
                    .pad_w = s->kernel_w - 1 - s->pad_w, .out_h = s->height, .out_w = s->width, .filters = s->channels};
    uint8_t *panels = hb_sign_panels(u->w, taps, s->channels, s->filters, 2 * kernels->lanes);
    status = panels == NULL ? -1 : kernels->sign_gradient(&back, g, g_step, u->alpha, panels, dx);
    free(panels);
    return status == 0 ? normalise_back(kernels, u, so_far, so_far_step, dx, dgamma, dbeta) : status;
}
