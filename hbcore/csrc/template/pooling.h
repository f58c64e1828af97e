/* Pictures of half or twice the size, and the addition of two; a part of template.h.
 *
 *     max_pool      y[p] = max over the window of x at 2 p + (0 or 1, 0 or 1);   dx = g at the winner, the first in
 *                   reading order that has it, 0 elsewhere
 *     upsample_add  y[p] += x[p / 2]
 *     add           out = a + b
 *
 *   STORE_BYTES(p, v)  see gradients/bytes.h
 */
typedef struct {
    ptrdiff_t height, width, channels; /* of x */
    const float *x, *g;
    float *y, *dx;
    uint8_t *winner;
    int nan;
} NAME(resize_work);

/* One row of y. */
TARGET static void NAME(pool_item)(void *context, ptrdiff_t row)
{
    NAME(resize_work) *work = context;
    ptrdiff_t c = work->channels, line = work->width * c;
    const float *x = work->x + 2 * row * line;
    float *y = work->y + row * line / 2;
    uint8_t *winner = work->winner == NULL ? NULL : work->winner + row * line / 2;
    vi nan = {0};
    for (ptrdiff_t p = 0; p < work->width / 2; p++, x += 2 * c, y += c) {
        ptrdiff_t k = 0;
        for (; k + LANES <= c; k += LANES) {
            vf a = load(x + k), b = load(x + c + k), d = load(x + line + k), e = load(x + line + c + k);
            nan |= (a != a) | (b != b) | (d != d) | (e != e);
            vi second = b > a, fourth = e > d;
            a = choose(second, b, a);
            d = choose(fourth, e, d);
            vi lower = d > a;
            store(y + k, choose(lower, d, a));
            if (winner != NULL)
                STORE_BYTES(winner + k, (lower & (2 - fourth)) | (~lower & -second)); /* masks are -1 */
        }
        for (; k < c; k++) {
            float window[4] = {x[k], x[c + k], x[line + k], x[line + c + k]};
            int best = 0;
            for (int i = 0; i < 4; i++) {
                best = window[i] > window[best] ? i : best;
                nan[0] |= window[i] != window[i];
            }
            y[k] = window[best];
            if (winner != NULL)
                winner[k] = (uint8_t)best;
        }
        if (winner != NULL)
            winner += c;
    }
    for (int k = 0; k < LANES; k++)
        if (nan[k])
            work->nan = 1; /* whoever writes it, writes the same */
}

static int NAME(max_pool)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *x,
                          float *y, uint8_t *winner)
{
    NAME(resize_work) work = {.height = height, .width = width, .channels = channels, .x = x, .y = y, .winner = winner};
    hb_run(NAME(pool_item), &work, batch * height / 2);
    return work.nan;
}

/* The two rows of dx under one row of g. */
TARGET static void NAME(pool_backward_item)(void *context, ptrdiff_t row)
{
    const NAME(resize_work) *work = context;
    ptrdiff_t c = work->channels, line = work->width * c, from[4] = {0, c, line, line + c};
    const float *g = work->g + row * line / 2;
    const uint8_t *winner = work->winner + row * line / 2;
    float *dx = work->dx + 2 * row * line;
    for (ptrdiff_t p = 0; p < work->width / 2; p++, dx += 2 * c, g += c, winner += c) {
        ptrdiff_t k = 0;
        for (; k + LANES <= c; k += LANES) {
            quarter bytes;
            memcpy(&bytes, winner + k, sizeof bytes);
            vi who = __builtin_convertvector(bytes, vi);
            for (int i = 0; i < 4; i++)
                store(dx + from[i] + k, (vf)((who == i) & (vi)load(g + k)));
        }
        for (; k < c; k++)
            for (int i = 0; i < 4; i++)
                dx[from[i] + k] = winner[k] == i ? g[k] : 0.0f;
    }
}

static int NAME(max_pool_backward)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                                   const uint8_t *winner, const float *g, float *dx)
{
    NAME(resize_work) work = {.height = height, .width = width, .channels = channels, .g = g, .dx = dx};
    work.winner = (uint8_t *)winner;
    hb_run(NAME(pool_backward_item), &work, batch * height / 2);
    return 0;
}

typedef struct {
    ptrdiff_t rows, count, skip_step, out_step, slices;
    const hb_part *parts;
    const float *skip;
    float *out;
} NAME(join_work);

TARGET static void NAME(join_item)(void *context, ptrdiff_t slice)
{
    const NAME(join_work) *work = context;
    FOR_SLICE(row, 1, work, slice) {
        const float *skip = work->skip + row * work->skip_step;
        float *out = work->out + row * work->out_step;
        for (ptrdiff_t i = 0; i < work->count; i++) {
            const hb_part *part = &work->parts[i];
            const float *x = part->x + row * part->step;
            ptrdiff_t k = 0;
            for (; k + LANES <= part->width; k += LANES)
                store(out + k, load(skip + k) + load(x + k));
            for (; k < part->width; k++)
                out[k] = skip[k] + x[k];
            skip += part->width;
            out += part->width;
        }
    }
}

static int NAME(join)(ptrdiff_t rows, const hb_part *parts, ptrdiff_t count, const float *skip, ptrdiff_t skip_step,
                      float *out, ptrdiff_t out_step)
{
    NAME(join_work) work = {rows, count, skip_step, out_step, 1, parts, skip, out};
    ptrdiff_t width = 0;
    for (ptrdiff_t i = 0; i < count; i++)
        width += parts[i].width;
    work.slices = MAX(1, MIN(SLICES, rows * width / (1 << 14)));
    hb_run(NAME(join_item), &work, work.slices);
    return 0;
}

/* One row of x, two of y. */
TARGET static void NAME(upsample_item)(void *context, ptrdiff_t row)
{
    const NAME(resize_work) *work = context;
    ptrdiff_t c = work->channels;
    const float *x = work->x + row * work->width * c;
    for (int twice = 0; twice < 2; twice++) {
        float *y = work->y + (2 * row + twice) * 2 * work->width * c;
        for (ptrdiff_t p = 0; p < 2 * work->width; p++, y += c) {
            const float *pixel = x + p / 2 * c;
            ptrdiff_t k = 0;
            for (; k + LANES <= c; k += LANES)
                store(y + k, load(y + k) + load(pixel + k));
            for (; k < c; k++)
                y[k] += pixel[k];
        }
    }
}

static int NAME(upsample_add)(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *x,
                              float *y)
{
    NAME(resize_work) work = {.height = height, .width = width, .channels = channels, .x = x, .y = y};
    hb_run(NAME(upsample_item), &work, batch * height);
    return 0;
}
