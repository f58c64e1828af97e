/* The gradient of the signs from gradients in bytes; a part of template.h.
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

/* With what is stored behind the last byte, and the pixels that tiles read behind the last one. */
static size_t NAME(room_for_bytes)(const hb_conv *s, size_t pixels)
{
    return ((pixels + 2 * LANES) * (size_t)(s->channels + LANES) + 63) / 64 * 64;
}

static size_t NAME(byte_block_bytes)(const hb_conv *s, ptrdiff_t rows)
{
    size_t pixels = (size_t)((rows + s->kernel_h - 1) * (s->width + 2 * s->pad_w));
    return NAME(room_for_bytes)(s, pixels) + 3 * (pixels + 2 * LANES) * sizeof(float);
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
    b.bytes = (int8_t *)memory;
    b.unit = (float *)(memory + NAME(room_for_bytes)(s, (size_t)pixels));
    b.excess = b.unit + pixels + 2 * LANES;
    b.pull = b.excess + pixels + 2 * LANES;
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

#ifdef BY_TILES
TARGET static void NAME(signs_by_tiles)(const NAME(signs_work) *work, const NAME(byte_block) *b, ptrdiff_t first,
                                        ptrdiff_t rows); /* tiles/signs.h */
#endif

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
#ifdef BY_TILES
    if (b.quads % TILE_QUADS == 0) {
        NAME(signs_by_tiles)(work, &b, (n * s->out_h + y0) * s->out_w, rows_here);
        return;
    }
#endif
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
