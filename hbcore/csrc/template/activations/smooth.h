/* The smooth sign behind batch norm; a part of template.h.
 *
 *     forward     s = tanh(u),   u = half (scale x + shift)
 *     backward    g = g (1 - s^2) half, in place
 *
 * With m = e^(-2 |u|) - 1, which keeps its digits near 0:  tanh |u| = -m / (m + 2). And with -2 |u| = k log 2 + r, k whole
 * and |r| at most log 2 / 2:  m = 2^k (e^r - 1) + (2^k - 1), where e^r - 1 is the sum of r^n / n! up to n = 7, which
 * leaves out less than rounding does. No multiply-add is fused: all variants give the same bits, those of tanh but for
 * its last two or three.
 */
INLINE vf NAME(tanh)(vf u)
{
    const vf magic = broadcast(0x1.8p23f); /* adding it rounds to whole numbers, in the low bits */
    vf y = (vf)magnitude(u) * broadcast(-2.0f);
    y = choose(y < broadcast(-20.0f), broadcast(-20.0f), y); /* 1 long before; NaN stays */
    vf shifted = y * broadcast(0x1.715476p0f) + magic, k = shifted - magic;
    vf r = y - k * broadcast(0x1.62e4p-1f) - k * broadcast(0x1.7f7d1cp-20f); /* log 2 in two parts: k times the first is exact */
    vf sum = r * broadcast(1.0f / 5040.0f) + broadcast(1.0f / 720.0f);
    sum = sum * r + broadcast(1.0f / 120.0f);
    sum = sum * r + broadcast(1.0f / 24.0f);
    sum = sum * r + broadcast(1.0f / 6.0f);
    sum = sum * r + broadcast(0.5f);
    sum = sum * (r * r) + r;
    vf power = (vf)(((vu)shifted - (vu)magic + 127u) << 23u);
    vf m = power * sum + (power - broadcast(1.0f));
    vi sign = (vi)u & ((vi){0} + INT32_MIN);
    return (vf)(magnitude(m / (m + broadcast(2.0f))) | sign);
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *scale, *shift;
    float half, *out;
} NAME(smooth_work);

TARGET static void NAME(smooth_item)(void *context, ptrdiff_t slice)
{
    const NAME(smooth_work) *work = context;
    ptrdiff_t channels = work->channels;
    FOR_SLICE(row, 1, work, slice)
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            ptrdiff_t count = channels - c;
            vf v = load_some(work->x + row * channels + c, count) * load_some(work->scale + c, count);
            v = (v + load_some(work->shift + c, count)) * broadcast(work->half);
            store_some(work->out + row * channels + c, NAME(tanh)(v), count);
        }
}

static int NAME(norm_smooth)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                             float half, float *out)
{
    NAME(smooth_work) work = {.rows = rows, .channels = channels, .x = x, .scale = scale, .shift = shift, .half = half,
                              .out = out};
    work.slices = NAME(slices)(rows);
    hb_run(NAME(smooth_item), &work, work.slices);
    return 0;
}

TARGET static void NAME(smooth_backward_item)(void *context, ptrdiff_t slice)
{
    const NAME(smooth_work) *work = context;
    ptrdiff_t numbers = work->rows * work->channels, end = numbers * (slice + 1) / work->slices;
    for (ptrdiff_t i = numbers * slice / work->slices; i < end; i += LANES) {
        vf s = load_some(work->x + i, end - i), g = load_some(work->out + i, end - i);
        store_some(work->out + i, g * (broadcast(1.0f) - s * s) * broadcast(work->half), end - i);
    }
}

static int NAME(smooth_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *s, float half, float *g)
{
    NAME(smooth_work) work = {.rows = rows, .channels = channels, .x = s, .half = half, .out = g};
    work.slices = NAME(slices)(rows);
    hb_run(NAME(smooth_backward_item), &work, work.slices);
    return 0;
}
