/* PReLU; a part of template.h.
 *
 *     forward     y = x <= 0 ? a x : x,    with a slope a per channel
 *     backward    dL/dx = x <= 0 ? a g : g,    dL/da = sum over rows of  g x  where x <= 0
 *
 * Sums are taken in double, of products in float, over slices of the rows. A few rows at a time stay in the cache while the
 * registers of channels go over them.
 */
typedef struct {
    ptrdiff_t rows, channels, slices, g_step;
    const float *x, *slope, *g;
    float *out;
    double *sums; /* (slices, C) */
} NAME(prelu_work);

TARGET static void NAME(prelu_item)(void *context, ptrdiff_t slice)
{
    const NAME(prelu_work) *work = context;
    ptrdiff_t channels = work->channels;
    FOR_SLICE(row, 1, work, slice)
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            vf x = load_some(work->x + row * channels + c, channels - c);
            vf y = choose(x <= broadcast(0.0f), x * load_some(work->slope + c, channels - c), x);
            store_some(work->out + row * channels + c, y, channels - c);
        }
}

static int NAME(prelu)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *slope, float *out)
{
    NAME(prelu_work) work = {.rows = rows, .channels = channels, .x = x, .slope = slope, .out = out};
    work.slices = NAME(slices)(rows);
    hb_run(NAME(prelu_item), &work, work.slices);
    return 0;
}

TARGET static void NAME(prelu_backward_item)(void *context, ptrdiff_t slice)
{
    const NAME(prelu_work) *work = context;
    ptrdiff_t channels = work->channels, step = work->g_step;
    const float *xs = work->x, *gs = work->g;
    float *out = work->out;
    FOR_SLICE(first, RUN, work, slice)
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            ptrdiff_t count = MIN(LANES, channels - c), end = MIN(first + RUN, last);
            vf slope = load_some(work->slope + c, count);
            vd lower = {0}, upper = {0}; /* in registers: an array whose address is taken would live in memory */
            for (ptrdiff_t row = first; row < end; row++) {
                vf x = load_some(xs + row * channels + c, count), g = load_some(gs + row * step + c, count);
                vi low = x <= broadcast(0.0f);
                vf product = (vf)(low & (vi)(g * x));
                store_some(out + row * channels + c, choose(low, g * slope, g), count);
                lower += half(product, 0);
                upper += half(product, 1);
            }
            double *sums = work->sums + slice * channels + c;
            vd run[2] = {lower, upper};
            for (ptrdiff_t k = 0; k < count; k++)
                sums[k] += ((const double *)run)[k];
        }
}

static int NAME(prelu_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *slope, const float *g,
                                ptrdiff_t g_step, float *out, double *sums)
{
    NAME(prelu_work) work = {.rows = rows, .channels = channels, .g_step = g_step, .x = x, .slope = slope, .g = g,
                             .out = out};
    work.slices = NAME(slices)(rows);
    work.sums = calloc((size_t)(work.slices * channels), sizeof *work.sums);
    if (work.sums == NULL)
        return -1;
    hb_run(NAME(prelu_backward_item), &work, work.slices);
    for (ptrdiff_t i = 0; i < work.slices * channels; i++)
        sums[i % channels] += work.sums[i];
    free(work.sums);
    return 0;
}
