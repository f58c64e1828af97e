/* Gradients of a binary convolution from gradients in bytes; a part of template.h.
 *
 * One operand of both products of the backward pass is +1 or -1. The other, the gradient g of the results, is rounded to
 * bytes in groups: q = round(g / u) with u = max |g| / 127 over the group. Sums of products are then integers, exact in
 * whatever order, and four products cost what one costs in float32. What is rounded is g alone, by at most u / 2:
 *
 *     signs      dL/dS[p] = sum over taps t:  u[p + t]  sum over o of  q[p + t, o] sign(W)[t, c, o]
 *                groups: the filters of one pixel, after they were multiplied by alpha
 *     filters    dL/dW~[t, c, o] = sum over blocks of pixels b:  u[b, o]  sum over p in b of  s[p + t, c] q[p, o]
 *                groups: one filter in a block of at most BLOCK_PIXELS pixels
 *
 * A sign travels as the unsigned byte 1 + sign, 0 outside the picture becoming 1, so each sum is too large by the sum of
 * its q: `excess`. Four bytes, of four filters or four pixels side by side, are multiplied with four and added:
 *
 *   PART                     sums on the way: int16 lanes, or int32 where instructions add that far
 *   MULTIPLY_ADD(sum, u, s)  PART: unsigned bytes times signed bytes, neighbours added to the sum
 *   WIDEN(v)                 int32 lanes: neighbouring int16 added
 *   STORE_BYTES(p, v)        int32 lanes that fit into bytes
 *   BYTE_ROWS                of a register tile, of one or two registers each
 *
 * Units that are not finite, or gradients that are not, give NaN. Sums of reals are taken in the same order always.
 */
enum {
    BLOCK_PIXELS = 128,
    MOST_QUADS = 64, /* |2 * 127| * 2 * 64 < 2^15 */
    LINE = 16        /* channels of signs that lie together: 64 bytes */
};

/* Groups of largest magnitudes `bits` (those of a float): what a step of a byte is worth, and steps per unit. */
INLINE void NAME(measure)(vi bits, vf *unit, vf *steps)
{
    const vf zero = broadcast(0.0f);
    vf most = (vf)bits;
    vi finite = bits < 0x7f800000, counts = finite & (most > broadcast(1e-30f));
    *unit = choose(finite, choose(counts, most * broadcast(1.0f / 127.0f), zero), broadcast(__builtin_nanf("")));
    *steps = choose(counts, broadcast(127.0f) / most, zero);
}

/* Rounded to the nearest: adding 1.5 * 2^23 leaves whole numbers in the low bits. */
INLINE vi NAME(rounded)(vf v, vf steps)
{
    const vf magic = broadcast(0x1.8p23f);
    return (vi)(v * steps + magic) - (vi)magic;
}

/* -------------------------------------------------------------------------------- of the signs
 *
 * Sizes are those of the convolution of g that it is: channels are the filters of the layer, filters its channels.
 */
typedef struct {
    const hb_conv *size;
    const float *g, *alpha;
    ptrdiff_t g_step;
    const uint8_t *panels;
    hb_epilogue end;
    ptrdiff_t rows, blocks;
    int failed;
} NAME(signs_work);

typedef struct {
    int8_t *bytes; /* (rows, width, 4 quads) */
    float *unit;   /* (rows, width) */
    float *excess; /* (rows, width), times the unit */
    float *pull;   /* (output rows, width): sum of the excess over the taps */
    ptrdiff_t quads, width;
} NAME(byte_block);

static size_t NAME(byte_block_bytes)(const hb_conv *s, ptrdiff_t rows)
{
    size_t pixels = (size_t)((rows + s->kernel_h - 1) * (s->width + 2 * s->pad_w));
    return pixels * ((size_t)(s->channels + LANES) + 3 * sizeof(float)) + 4 * LANES * sizeof(float);
}

/* Lane p is the largest of all lanes of rows[p], or their sum. Uses the rows up. */
INLINE vi NAME(across)(const int sum, vi *rows)
{
#pragma GCC unroll 4
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        vi second = ((vi){LANE_NUMBERS} & distance) != 0; /* lanes that go on with rows[p + distance] */
#pragma GCC unroll 8
        for (int p = 0; p < distance; p++) {
            vf a = (vf)rows[p], b = (vf)rows[p + distance];
            vi own = (vi)choose(second, b, a), other = swapped((vi)choose(second, a, b), distance);
            if (sum)
                rows[p] = own + other;
            else
                rows[p] = larger(own, other);
        }
    }
    return rows[0];
}

/* At most LANES pixels of g in bytes; `whole` if their channels fill registers. */
INLINE void NAME(pixels_to_bytes)(const int whole, const NAME(byte_block) *b, ptrdiff_t at, const float *g,
                                  ptrdiff_t step, const float *alpha, ptrdiff_t channels, ptrdiff_t count)
{
    vi rows[LANES] = {{0}};
    for (ptrdiff_t p = 0; p < count; p++)
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            const float *from = g + p * step + c;
            vf v = whole ? load(from) : load_some(from, channels - c);
            rows[p] = larger(rows[p], magnitude(v * load(alpha + c)));
        }
    vf unit, steps;
    NAME(measure)(NAME(across)(0, rows), &unit, &steps);
    float each[LANES];
    store(each, steps);
    for (ptrdiff_t p = 0; p < count; p++) {
        int8_t *bytes = b->bytes + (at + p) * 4 * b->quads;
        vi sum = {0};
        for (ptrdiff_t c = 0; c < channels; c += LANES) {
            const float *from = g + p * step + c;
            vf v = whole ? load(from) : load_some(from, channels - c);
            vi q = NAME(rounded)(v * load(alpha + c), broadcast(each[p]));
            sum += q;
            STORE_BYTES(bytes + c, q); /* past the pixel's end, where the next one follows */
        }
        rows[p] = sum;
    }
    store_some(b->unit + at, unit, count);
    store_some(b->excess + at, unit * __builtin_convertvector(NAME(across)(1, rows), vf), count);
}

INLINE void NAME(no_bytes)(const NAME(byte_block) *b, ptrdiff_t at, ptrdiff_t pixels)
{
    memset(b->bytes + at * 4 * b->quads, 0, (size_t)(pixels * 4 * b->quads));
    memset(b->unit + at, 0, (size_t)pixels * sizeof *b->unit);
    memset(b->excess + at, 0, (size_t)pixels * sizeof *b->excess);
}

TARGET static NAME(byte_block) NAME(make_byte_block)(const NAME(signs_work) *work, ptrdiff_t n, ptrdiff_t y0,
                                                     ptrdiff_t rows, char *memory)
{
    const hb_conv *s = work->size;
    ptrdiff_t width = s->width + 2 * s->pad_w, in_rows = rows + s->kernel_h - 1, pixels = in_rows * width;
    NAME(byte_block) b = {.quads = (s->channels + 3) / 4, .width = width};
    b.unit = (float *)memory;
    b.excess = b.unit + pixels;
    b.pull = b.excess + pixels + LANES;
    b.bytes = (int8_t *)(b.pull + pixels + LANES);
    for (ptrdiff_t r = 0; r < in_rows; r++) {
        ptrdiff_t at = r * width, iy = y0 + r - s->pad_h;
        if (iy < 0 || iy >= s->height) {
            NAME(no_bytes)(&b, at, width);
            continue;
        }
        NAME(no_bytes)(&b, at, s->pad_w);
        for (ptrdiff_t x = 0; x < s->width; x += LANES) {
            const float *g = work->g + ((n * s->height + iy) * s->width + x) * work->g_step;
            ptrdiff_t count = MIN(LANES, s->width - x), first = at + s->pad_w + x;
            if (s->channels % LANES == 0)
                NAME(pixels_to_bytes)(1, &b, first, g, work->g_step, work->alpha, s->channels, count);
            else
                NAME(pixels_to_bytes)(0, &b, first, g, work->g_step, work->alpha, s->channels, count);
        }
        NAME(no_bytes)(&b, at + s->pad_w + s->width, s->pad_w);
    }
    for (ptrdiff_t at = 0; at < rows * width; at += LANES) { /* what lies past the end of a row is not used */
        vf sum = {0};
        for (ptrdiff_t i = 0; i < s->kernel_h; i++)
            for (ptrdiff_t j = 0; j < s->kernel_w; j++)
                sum += load(b.excess + at + i * width + j);
        store(b.pull + at, sum);
    }
    return b;
}

INLINE void NAME(signs_tile)(const int rows, const int halves, const int kind, const NAME(byte_block) *b,
                             const hb_conv *s, ptrdiff_t at, const uint8_t *panel, const hb_epilogue *end,
                             ptrdiff_t first, ptrdiff_t c)
{
    vf sum[BYTE_ROWS][2];
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++)
            sum[m][h] = -broadcast(b->pull[at + m]);
    for (ptrdiff_t i = 0; i < s->kernel_h; i++)
        for (ptrdiff_t j = 0; j < s->kernel_w; j++) {
            ptrdiff_t pixel = at + i * b->width + j;
            for (ptrdiff_t begin = 0; begin < b->quads; begin += MOST_QUADS) {
                PART part[BYTE_ROWS][2] = {{{0}}};
                const int8_t *bytes = b->bytes + 4 * (pixel * b->quads + begin);
                for (ptrdiff_t k = MIN(MOST_QUADS, b->quads - begin); k > 0; k--, panel += 4 * PANEL, bytes += 4) {
                    vi w[2];
                    for (int h = 0; h < halves; h++)
                        w[h] = *(const vi *)(panel + 4 * LANES * h);
#pragma GCC unroll 16
                    for (int m = 0; m < rows; m++) {
                        vi q = broadcast_bytes(bytes + m * 4 * b->quads);
                        for (int h = 0; h < halves; h++)
                            part[m][h] = MULTIPLY_ADD(part[m][h], w[h], q);
                    }
                }
#pragma GCC unroll 16
                for (int m = 0; m < rows; m++)
                    for (int h = 0; h < halves; h++)
                        sum[m][h] = FMA(broadcast(b->unit[pixel + m]), __builtin_convertvector(WIDEN(part[m][h]), vf),
                                        sum[m][h]);
            }
        }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++)
            if (c + h * LANES < s->filters) {
                uint64_t none = 0;
                NAME(finish)(kind, end, sum[m][h], first + m, c + h * LANES, s->filters, &none);
            }
}

/* One row of pixels, all filters of a panel. */
INLINE void NAME(signs_row)(const int halves, const NAME(byte_block) *b, const hb_conv *s, ptrdiff_t at,
                            const uint8_t *panel, const hb_epilogue *end, ptrdiff_t first, ptrdiff_t c)
{
    ptrdiff_t x = 0;
    for (; s->filters % LANES == 0 && x + BYTE_ROWS <= s->out_w; x += BYTE_ROWS)
        NAME(signs_tile)(BYTE_ROWS, halves, 0, b, s, at + x, panel, end, first + x, c);
    for (; x < s->out_w; x += BYTE_ROWS) {
        FOR_ROWS(BYTE_ROWS, MIN(BYTE_ROWS, s->out_w - x),
                 NAME(signs_tile)(rows, halves, ANY, b, s, at + x, panel, end, first + x, c))
    }
}

TARGET static void NAME(signs_item)(void *context, ptrdiff_t item)
{
    NAME(signs_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t n = item / work->blocks, y0 = item % work->blocks * work->rows, rows_here = MIN(work->rows, s->out_h - y0);
    void *memory = hb_scratch(NAME(byte_block_bytes)(s, work->rows));
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    NAME(byte_block) b = NAME(make_byte_block)(work, n, y0, rows_here, memory);
    ptrdiff_t panel_bytes = s->kernel_h * s->kernel_w * b.quads * 4 * PANEL;
    for (ptrdiff_t c = 0; c < s->filters; c += PANEL) {
        const uint8_t *panel = work->panels + c / PANEL * panel_bytes;
        for (ptrdiff_t y = 0; y < rows_here; y++) {
            ptrdiff_t first = (n * s->out_h + y0 + y) * s->out_w;
            if (s->filters - c > LANES)
                NAME(signs_row)(2, &b, s, y * b.width, panel, &work->end, first, c);
            else
                NAME(signs_row)(1, &b, s, y * b.width, panel, &work->end, first, c);
        }
    }
}

static int NAME(sign_gradient)(const hb_conv *s, const float *g, ptrdiff_t g_step, const float *alpha,
                               const uint8_t *panels, float *dx)
{
    NAME(signs_work) work = {.size = s, .g = g, .alpha = alpha, .g_step = g_step, .panels = panels};
    work.end = (hb_epilogue){.y = dx, .y_step = s->filters};
    work.rows = s->out_h;
    while (work.rows > 1 && NAME(byte_block_bytes)(s, work.rows) > 128 << 10)
        work.rows = (work.rows + 1) / 2;
    work.blocks = (s->out_h + work.rows - 1) / work.rows;
    hb_run(NAME(signs_item), &work, s->batch * work.blocks);
    return work.failed ? -1 : 0;
}

/* -------------------------------------------------------------------------------- of the filters */

typedef struct {
    NAME(gradient_work) sums; /* what the parts' sums need */
    ptrdiff_t g_step, cols, x_blocks;
} NAME(filters_work);

typedef struct {
    uint32_t *signs; /* (channels / LINE, rows, width, LINE): a word holds this and the next three pixels */
    int32_t *bytes;  /* (filters / PANEL, rows, quads, PANEL): four pixels of g */
    float *unit;     /* (filters) */
    int32_t *excess;
    ptrdiff_t in_rows, width, rows, quads;
} NAME(sign_block);

INLINE void NAME(fill_signs)(const NAME(filters_work) *work, const NAME(sign_block) *b, ptrdiff_t n, ptrdiff_t y0,
                             ptrdiff_t x0)
{
    const hb_conv *s = work->sums.size;
    ptrdiff_t words = (s->channels + 63) / 64;
    const vu nothing = (vu){0} + 1, plus = (vu){0} + 2;
    for (ptrdiff_t c = 0; c < (s->channels + LINE - 1) / LINE * LINE; c += LANES)
        for (ptrdiff_t r = 0; r < b->in_rows; r++) {
            ptrdiff_t iy = y0 + r - s->pad_h;
            uint32_t *row = b->signs + (c / LINE * b->in_rows + r) * b->width * LINE + c % LINE;
            const uint64_t *bits = work->sums.bits + (n * s->height + iy) * s->width * words;
            int within = iy >= 0 && iy < s->height;
            vu word = nothing * 0x01010101u;
            for (ptrdiff_t x = b->width - 1; x >= 0; x--) {
                ptrdiff_t ix = x0 + x - s->pad_w;
                vu byte = nothing;
                if (within && ix >= 0 && ix < s->width)
                    byte = ~(vu)spread(bits_at(bits + ix * words, c)) & plus;
                word = (word << 8) | byte;
                *(vu *)(row + x * LINE) = word;
            }
        }
}

INLINE void NAME(fill_bytes)(const NAME(filters_work) *work, const NAME(sign_block) *b, ptrdiff_t n, ptrdiff_t y0,
                             ptrdiff_t x0, ptrdiff_t cols)
{
    const hb_conv *s = work->sums.size;
    const float *corner = work->sums.g + ((n * s->out_h + y0) * s->out_w + x0) * work->g_step;
    ptrdiff_t line = s->out_w * work->g_step;
    for (ptrdiff_t o = 0; o < work->sums.padded; o += LANES) {
        ptrdiff_t count = MIN(LANES, s->filters - o);
        vi most = {0}, sum = {0};
        if (count > 0)
            for (ptrdiff_t y = 0; y < b->rows; y++)
                for (ptrdiff_t x = 0; x < cols; x++)
                    most = larger(
                        most, magnitude(load_some(corner + y * line + x * work->g_step + o, count)));
        vf unit, steps;
        NAME(measure)(most, &unit, &steps);
        store(b->unit + o, unit);
        int32_t *out = b->bytes + o / PANEL * b->rows * b->quads * PANEL + o % PANEL;
        for (ptrdiff_t y = 0; y < b->rows; y++)
            for (ptrdiff_t quad = 0; quad < b->quads; quad++, out += PANEL) {
                vu four = {0};
                for (ptrdiff_t k = 0; k < 4 && count > 0; k++) {
                    ptrdiff_t x = 4 * quad + k;
                    if (x < cols) {
                        vf v = load_some(corner + y * line + x * work->g_step + o, count);
                        vi q = NAME(rounded)(v, steps);
                        sum += q;
                        four |= ((vu)q & 255) << (uint32_t)(8 * k);
                    }
                }
                *(vu *)out = four;
            }
        *(vi *)(b->excess + o) = sum;
    }
}

INLINE void NAME(filters_tile)(const int rows, const int halves, const NAME(sign_block) *b, const uint32_t *signs,
                               const int32_t *bytes, ptrdiff_t o, float *out, ptrdiff_t padded)
{
    PART part[BYTE_ROWS][2] = {{{0}}};
    for (ptrdiff_t y = 0; y < b->rows; y++, signs += b->width * LINE)
        for (ptrdiff_t quad = 0; quad < b->quads; quad++, bytes += PANEL) {
            vi g[2];
            for (int h = 0; h < halves; h++)
                g[h] = *(const vi *)(bytes + h * LANES);
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++) {
                vi s = broadcast_bytes(signs + 4 * quad * LINE + m);
                for (int h = 0; h < halves; h++)
                    part[m][h] = MULTIPLY_ADD(part[m][h], s, g[h]);
            }
        }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++) {
            float *sum = out + m * padded + h * LANES;
            vi whole = WIDEN(part[m][h]) - *(const vi *)(b->excess + o + h * LANES);
            store(sum, FMA(load(b->unit + o + h * LANES), __builtin_convertvector(whole, vf), load(sum)));
        }
}

static size_t NAME(sign_block_words)(const NAME(filters_work) *work, NAME(sign_block) *b)
{
    const hb_conv *s = work->sums.size;
    b->rows = work->sums.rows;
    b->in_rows = b->rows + s->kernel_h - 1;
    b->quads = (work->cols + 3) / 4;
    b->width = 4 * b->quads + s->kernel_w - 1;
    return (size_t)((s->channels + LINE - 1) / LINE * LINE * b->in_rows * b->width);
}

TARGET static void NAME(filters_item)(void *context, ptrdiff_t part)
{
    NAME(filters_work) *work = context;
    const hb_conv *s = work->sums.size;
    ptrdiff_t padded = work->sums.padded, per_picture = work->sums.blocks * work->x_blocks;
    NAME(sign_block) b;
    size_t words = NAME(sign_block_words)(work, &b), numbers = (size_t)(padded * b.rows * b.quads);
    uint32_t *memory = hb_scratch((words + numbers + 2 * (size_t)padded) * sizeof *memory);
    if (memory == NULL) {
        work->sums.failed = 1;
        return;
    }
    b.signs = memory;
    b.bytes = (int32_t *)(memory + words);
    b.unit = (float *)(b.bytes + numbers);
    b.excess = (int32_t *)(b.unit + padded);
    float *sums = work->sums.sums + part * work->sums.terms * padded;
    ptrdiff_t blocks = s->batch * per_picture;
    for (ptrdiff_t k = blocks * part / work->sums.parts; k < blocks * (part + 1) / work->sums.parts; k++) {
        ptrdiff_t n = k / per_picture, y0 = k % per_picture / work->x_blocks * work->sums.rows;
        ptrdiff_t x0 = k % work->x_blocks * work->cols;
        b.rows = MIN(work->sums.rows, s->out_h - y0);
        NAME(fill_signs)(work, &b, n, y0, x0);
        NAME(fill_bytes)(work, &b, n, y0, x0, MIN(work->cols, s->out_w - x0));
        for (ptrdiff_t c = 0; c < s->channels; c += BYTE_ROWS)
            for (ptrdiff_t i = 0; i < s->kernel_h; i++)
                for (ptrdiff_t j = 0; j < s->kernel_w; j++) {
                    const uint32_t *signs = b.signs + ((c / LINE * b.in_rows + i) * b.width + j) * LINE + c % LINE;
                    float *out = sums + ((i * s->kernel_w + j) * s->channels + c) * padded;
                    for (ptrdiff_t o = 0; o < padded; o += PANEL) {
                        const int32_t *bytes = b.bytes + o * b.rows * b.quads;
                        if (s->filters - o > LANES)
                            FOR_ROWS(BYTE_ROWS, MIN(BYTE_ROWS, s->channels - c),
                                     NAME(filters_tile)(rows, 2, &b, signs, bytes, o, out + o, padded))
                        else
                            FOR_ROWS(BYTE_ROWS, MIN(BYTE_ROWS, s->channels - c),
                                     NAME(filters_tile)(rows, 1, &b, signs, bytes, o, out + o, padded))
                    }
                }
    }
}

static int NAME(filter_gradient)(const hb_conv *s, const uint64_t *bits, const float *g, ptrdiff_t g_step, float *dw)
{
    NAME(filters_work) work = {.g_step = g_step, .cols = MIN(s->out_w, BLOCK_PIXELS)};
    work.sums = (NAME(gradient_work)){.size = s, .bits = bits, .g = g, .dw = dw};
    work.sums.rows = MIN(s->out_h, MAX(1, BLOCK_PIXELS / ((work.cols + 3) / 4 * 4)));
    work.sums.blocks = (s->out_h + work.sums.rows - 1) / work.sums.rows;
    work.x_blocks = (s->out_w + work.cols - 1) / work.cols;
    return NAME(sum_parts)(&work.sums, NAME(filters_item), &work, s->batch * work.sums.blocks * work.x_blocks);
}
