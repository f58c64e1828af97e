/* The gradient of the filters from gradients in bytes; a part of template.h. */
typedef struct {
    NAME(gradient_work) sums; /* what the parts' sums need */
    ptrdiff_t g_step, cols, x_blocks;
} NAME(filters_work);

typedef struct {
    uint32_t *signs; /* (channels / LINE, rows, width, LINE): a word holds this and the next three pixels */
    int32_t *bytes;  /* (filters / PANEL, panel_quads, PANEL): four pixels of g */
    float *unit;     /* (filters) */
    int32_t *excess;
    ptrdiff_t in_rows, width, rows, quads, panel_quads; /* quads in a row, and in all rows of a whole block or more */
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
        int32_t *out = b->bytes + o / PANEL * PANEL * b->panel_quads + o % PANEL;
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
    b->panel_quads = b->rows * b->quads;
    b->width = 4 * b->quads + s->kernel_w - 1;
    return (size_t)((s->channels + LINE - 1) / LINE * LINE * b->in_rows * b->width);
}

TARGET static void NAME(filters_item)(void *context, ptrdiff_t part)
{
    NAME(filters_work) *work = context;
    const hb_conv *s = work->sums.size;
    ptrdiff_t padded = work->sums.padded, per_picture = work->sums.blocks * work->x_blocks;
    NAME(sign_block) b;
    size_t words = NAME(sign_block_words)(work, &b), numbers = (size_t)(padded * b.panel_quads);
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
                        const int32_t *bytes = b.bytes + o * b.panel_quads;
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

#ifdef BY_TILES
TARGET static void NAME(filter_tiles_item)(void *context, ptrdiff_t part); /* tiles/filters.h */
#endif

static int NAME(filter_gradient)(const hb_conv *s, const uint64_t *bits, const float *g, ptrdiff_t g_step, float *dw)
{
    NAME(filters_work) work = {.g_step = g_step, .cols = MIN(s->out_w, BLOCK_PIXELS)};
    work.sums = (NAME(gradient_work)){.size = s, .bits = bits, .g = g, .dw = dw};
    work.sums.rows = MIN(s->out_h, MAX(1, BLOCK_PIXELS / ((work.cols + 3) / 4 * 4)));
    work.sums.blocks = (s->out_h + work.sums.rows - 1) / work.sums.rows;
    work.x_blocks = (s->out_w + work.cols - 1) / work.cols;
    hb_task item = NAME(filters_item);
#ifdef BY_TILES
    if (work.sums.rows * work.cols >= TILE_BYTES)
        item = NAME(filter_tiles_item);
#endif
    return NAME(sum_parts)(&work.sums, item, &work, s->batch * work.sums.blocks * work.x_blocks);
}
