/* Batch normalisation, with the signs that follow it; a part of template.h.
 *
 *     forward     v = scale x + shift,  signs: v < 0,  inside: -1 < v < 1
 *     backward    dL/dx = gamma r (g - mean(g) - (x - m) r^2 mean(g (x - m))) = a g + b x + c,  mean m, deviation 1 / r
 *     deployed    signs: x < threshold, turned round where gamma < 0
 *
 * The straight-through estimator lets g pass inside alone. Sums are taken in double, over slices of the rows. RUN rows at
 * a time stay in the cache while the registers of channels go over them.
 *
 *   MASK(v)  see epilogue.h
 */
enum { RUN = 32 };

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *g;
    const uint64_t *inside;
    const float *centre; /* origin or mean */
    double *sums;        /* (slices, 2, C) */
} NAME(sum_work);

/* first += u, second += u v over the rows of a run, where
 *   CENTRED      u = v = x - centre
 *   ALL, INSIDE  u = g, everywhere or only inside, and v = x - centre
 */
enum { CENTRED, ALL, INSIDE };

/* `count` channels from c on, at most a register of them. */
INLINE void NAME(sum_run)(const int kind, const NAME(sum_work) *work, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t c,
                          ptrdiff_t count, double *first, double *second)
{
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    vf centre = load_some(work->centre + c, count);
    vd a[2] = {{0}}, b[2] = {{0}};
    memcpy(a, first + c, (size_t)count * sizeof *first);
    memcpy(b, second + c, (size_t)count * sizeof *second);
    for (ptrdiff_t row = begin; row < end; row++) {
        const float *x = work->x + row * channels + c;
        if (kind == CENTRED) {
            for (int h = 0; h < 2; h++) {
                vd distance = half_at(x, count, ALL_BITS, h) - half(centre, h);
                a[h] += distance;
                b[h] += distance * distance;
            }
            continue;
        }
        uint32_t bits = kind == INSIDE ? bits_at(work->inside + row * words, c) : ALL_BITS;
        vf v = load_some(x, count) - centre;
        for (int h = 0; h < 2; h++) {
            vd u = half_at(work->g + row * channels + c, count, bits, h);
            a[h] += u;
            b[h] += u * half(v, h);
        }
    }
    memcpy(first + c, a, (size_t)count * sizeof *first);
    memcpy(second + c, b, (size_t)count * sizeof *second);
}

/* All channels. Where they fill a register, that is known when this is compiled. */
INLINE void NAME(sum_rows)(const int kind, const NAME(sum_work) *work, ptrdiff_t begin, ptrdiff_t end, double *first,
                           double *second)
{
    ptrdiff_t c = 0;
    for (; c + LANES <= work->channels; c += LANES)
        NAME(sum_run)(kind, work, begin, end, c, LANES, first, second);
    if (c < work->channels)
        NAME(sum_run)(kind, work, begin, end, c, work->channels - c, first, second);
}

TARGET static void NAME(sum_item)(void *context, ptrdiff_t slice)
{
    const NAME(sum_work) *work = context;
    double *first = work->sums + 2 * slice * work->channels, *second = first + work->channels;
    FOR_SLICE(row, RUN, work, slice) {
        ptrdiff_t end = MIN(row + RUN, last);
        if (work->g == NULL)
            NAME(sum_rows)(CENTRED, work, row, end, first, second);
        else if (work->inside == NULL)
            NAME(sum_rows)(ALL, work, row, end, first, second);
        else
            NAME(sum_rows)(INSIDE, work, row, end, first, second);
    }
}

static int NAME(sum)(NAME(sum_work) work, double *first, double *second)
{
    ptrdiff_t channels = work.channels;
    work.slices = NAME(slices)(work.rows);
    work.sums = calloc((size_t)(2 * work.slices * channels), sizeof *work.sums);
    if (work.sums == NULL)
        return -1;
    hb_run(NAME(sum_item), &work, work.slices);
    for (ptrdiff_t slice = 0; slice < work.slices; slice++)
        for (ptrdiff_t c = 0; c < channels; c++) {
            first[c] += work.sums[2 * slice * channels + c];
            second[c] += work.sums[(2 * slice + 1) * channels + c];
        }
    free(work.sums);
    return 0;
}

static int NAME(centred_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *origin, double *sums,
                         double *squares)
{
    NAME(sum_work) work = {.rows = rows, .channels = channels, .x = x, .centre = origin};
    return NAME(sum)(work, sums, squares);
}

static int NAME(norm_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *inside,
                           const float *mean, double *sums, double *products)
{
    NAME(sum_work) work = {.rows = rows, .channels = channels, .x = x, .g = g, .inside = inside, .centre = mean};
    return NAME(sum)(work, sums, products);
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *scale, *shift;
    uint64_t *signs, *inside;
    int nan[SLICES];
} NAME(sign_work);

TARGET static void NAME(sign_item)(void *context, ptrdiff_t slice)
{
    NAME(sign_work) *work = context;
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    vi nan = {0};
    FOR_SLICE(row, 1, work, slice) {
        const float *x = work->x + row * channels;
        for (ptrdiff_t word = 0; word < words; word++) {
            uint64_t signs = 0, inside = 0;
            ptrdiff_t c = 64 * word, end = MIN(channels, c + 64);
            for (; c < end; c += LANES) {
                ptrdiff_t count = end - c;
                vf v = load_some(x + c, count) * load_some(work->scale + c, count) + load_some(work->shift + c, count);
                nan |= v != v;
                signs |= (uint64_t)MASK(v < broadcast(0.0f)) << (c % 64);
                inside |= (uint64_t)MASK((v < broadcast(1.0f)) & (v > broadcast(-1.0f)) & first_lanes(count)) << (c % 64);
            }
            work->signs[row * words + word] = signs;
            work->inside[row * words + word] = inside;
        }
    }
    for (int k = 0; k < LANES; k++)
        work->nan[slice] |= nan[k];
}

static int NAME(norm_sign)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                           uint64_t *signs, uint64_t *inside)
{
    NAME(sign_work) work = {rows, channels, NAME(slices)(rows), x, scale, shift, signs, inside, {0}};
    hb_run(NAME(sign_item), &work, work.slices);
    int nan = 0;
    for (int slice = 0; slice < SLICES; slice++)
        nan |= work.nan[slice];
    return nan != 0;
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *g;
    const uint64_t *inside;
    const float *a, *b, *c, *so_far;
    ptrdiff_t so_far_step;
    float *out;
} NAME(backward_work);

TARGET static void NAME(backward_item)(void *context, ptrdiff_t slice)
{
    const NAME(backward_work) *work = context;
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    FOR_SLICE(row, 1, work, slice) {
        const float *x = work->x + row * channels, *g = work->g + row * channels;
        const uint64_t *inside = work->inside == NULL ? NULL : work->inside + row * words;
        float *out = work->out + row * channels;
        for (ptrdiff_t k = 0; k < channels; k += LANES) {
            ptrdiff_t count = channels - k;
            vf u = load_some(g + k, count), slope = load_some(work->a + k, count), b = load_some(work->b + k, count);
            if (inside != NULL)
                u = (vf)((vi)u & spread(bits_at(inside, k)));
            vf v = u * slope + load_some(x + k, count) * b + load_some(work->c + k, count);
            if (work->so_far != NULL)
                v += load_some(work->so_far + row * work->so_far_step + k, count);
            store_some(out + k, v, count);
        }
    }
}

static int NAME(norm_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g,
                               const uint64_t *inside, const float *a, const float *b, const float *c,
                               const float *so_far, ptrdiff_t so_far_step, float *out)
{
    NAME(backward_work) work = {rows, channels, NAME(slices)(rows), x, g, inside, a, b, c,
                                so_far, so_far_step, out};
    hb_run(NAME(backward_item), &work, work.slices);
    return 0;
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *threshold;
    const uint64_t *flip;
    uint64_t *bits;
} NAME(threshold_work);

TARGET static void NAME(threshold_item)(void *context, ptrdiff_t slice)
{
    const NAME(threshold_work) *work = context;
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    FOR_SLICE(row, 1, work, slice) {
        const float *x = work->x + row * channels;
        for (ptrdiff_t word = 0; word < words; word++) {
            uint64_t bits = 0;
            ptrdiff_t c = 64 * word, end = MIN(channels, c + 64);
            for (; c < end; c += LANES)
                bits |= (uint64_t)MASK(load_some(x + c, end - c) < load_some(work->threshold + c, end - c)) << (c % 64);
            work->bits[row * words + word] = bits ^ work->flip[word];
        }
    }
}

static int NAME(threshold)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *threshold,
                           const uint64_t *flip, uint64_t *bits)
{
    NAME(threshold_work) work = {rows, channels, MAX(1, MIN(SLICES, rows / 64)), x, threshold, flip, bits};
    hb_run(NAME(threshold_item), &work, work.slices);
    return 0;
}
