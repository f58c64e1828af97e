/* Products of real-valued convolutions; a part of template.h.
 *
 *     y = X w,   dw = X^T g      X[p, t]: number t of the kH kW C around pixel p
 *
 * X is never built: blocks.h says where its rows lie. A tile of the result, ROWS x 2 registers (one, where there are no
 * filters for a second), stays in registers while all of its terms are summed.
 *
 *   ROWS         of a register tile
 *   FMA(a,b,c)   a b + c, fused where the hardware can
 */

/* -------------------------------------------------------------------------------- y = X w */

typedef struct {
    const hb_conv *size;
    const float *x, *panels;
    const uint64_t *bits;
    const hb_epilogue *end;
    ptrdiff_t rows, blocks; /* of a picture */
    int failed;
} NAME(forward_work);

/* Outputs at equal distances, so that every third has a pointer of its own: one for each would fill the registers that
 * addresses are made of, and be loaded anew for each product. */
INLINE void NAME(forward_tile)(const int rows, const int registers, const int kind, const block *b, ptrdiff_t kernel_h,
                               const float *x, ptrdiff_t distance, const float *panel, const hb_epilogue *end,
                               ptrdiff_t first, ptrdiff_t o, ptrdiff_t filters)
{
    vf sum[ROWS][2];
    const float *third[(ROWS + 2) / 3];
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = (vf){0};
        third[m / 3] = x + m / 3 * 3 * distance;
    }
    for (ptrdiff_t i = 0; i < kernel_h; i++) {
        for (ptrdiff_t r = 0; r < b->run; r++, panel += PANEL) {
            vf w0 = load(panel), w1 = load(panel + LANES);
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++) {
                vf a = broadcast(third[m / 3][m % 3 * distance]);
                sum[m][0] = FMA(a, w0, sum[m][0]);
                if (registers == 2)
                    sum[m][1] = FMA(a, w1, sum[m][1]);
            }
#pragma GCC unroll 4
            for (int k = 0; k < (rows + 2) / 3; k++)
                third[k]++;
        }
#pragma GCC unroll 4
        for (int k = 0; k < (rows + 2) / 3; k++)
            third[k] += b->step - b->run;
    }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < registers; h++) {
            uint64_t none = 0;
            NAME(finish)(kind, end, sum[m][h], first + m, o + h * LANES, filters, &none);
        }
}

/* Calls tile(rows, ...) with `rows`, at most `most`, a constant of the compiler's. */
#define CASE(k, most, call) \
    case k: { \
        enum { rows = MIN(k, most) }; \
        call; \
        break; \
    }
#define FOR_ROWS(most, count, call) \
    switch (count) { \
        CASE(1, most, call) CASE(2, most, call) CASE(3, most, call) CASE(4, most, call) CASE(5, most, call) \
        CASE(6, most, call) CASE(7, most, call) CASE(8, most, call) CASE(9, most, call) CASE(10, most, call) \
        CASE(11, most, call) CASE(12, most, call) \
    }

/* `count` outputs at equal distances, for one panel of filters from o on. */
INLINE void NAME(forward_line)(const NAME(forward_work) *work, const block *b, int kind, const float *x,
                               ptrdiff_t distance, ptrdiff_t count, ptrdiff_t first, ptrdiff_t o)
{
    const hb_conv *s = work->size;
    const float *panel = work->panels + o * s->kernel_h * b->run;
    ptrdiff_t p = 0;
#define TILE(rows, registers, kind) \
    NAME(forward_tile)(rows, registers, kind, b, s->kernel_h, x + p * distance, distance, panel, work->end, first + p, o, \
                       s->filters)
    if (o + LANES >= s->filters)
        for (; p < count; p += ROWS) {
            FOR_ROWS(ROWS, MIN(ROWS, count - p), TILE(rows, 1, ANY))
        }
    for (; kind == 0 && p + ROWS <= count; p += ROWS)
        TILE(ROWS, 2, 0);
    for (; p < count; p += ROWS) {
        FOR_ROWS(ROWS, MIN(ROWS, count - p), TILE(rows, 2, ANY))
    }
#undef TILE
}

TARGET static void NAME(forward_item)(void *context, ptrdiff_t item)
{
    NAME(forward_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t n = item / work->blocks, y0 = item % work->blocks * work->rows, rows_here = MIN(work->rows, s->out_h - y0);
    void *memory = hb_scratch(NAME(block_bytes)(s, work->rows));
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    block b = NAME(make_block)(s, work->x, work->bits, n, y0, rows_here, memory);
    int kind = NAME(kind)(work->end, s->filters);
    ptrdiff_t first = (n * s->out_h + y0) * s->out_w;
    /* Rows of outputs, or all of them where a row follows the other without a gap. */
    ptrdiff_t distance = s->stride * s->channels, line = s->out_w * s->channels == b.step ? b.pixels : s->out_w;
    for (ptrdiff_t o = 0; o < s->filters; o += PANEL)
        for (ptrdiff_t from = 0; from < b.pixels; from += line)
            NAME(forward_line)(work, &b, kind, b.first + b.at[from], distance, line, first + from, o);
}

static int NAME(conv2d)(const hb_conv *s, const float *x, const uint64_t *bits, const float *w, const hb_epilogue *end)
{
    NAME(forward_work) work = {.size = s, .x = x, .panels = w, .bits = bits, .end = end};
    work.rows = NAME(block_rows)(s, 96 << 10);
    work.blocks = (s->out_h + work.rows - 1) / work.rows;
    hb_run(NAME(forward_item), &work, s->batch * work.blocks);
    return work.failed ? -1 : 0;
}

/* -------------------------------------------------------------------------------- dw = X^T g
 *
 * The batch is cut into PARTS parts, whatever the threads: each has its own sums, and these are added in order.
 */
enum { PARTS = 8 };

typedef struct {
    const hb_conv *size;
    const float *x, *g;
    const uint64_t *bits;
    float *sums, *dw; /* sums: (parts, kH kW C, padded filters) */
    ptrdiff_t terms, rows, blocks, parts, padded;
    hb_task add; /* adds a part to its sums, with `context` */
    void *context;
    int failed;
} NAME(gradient_work);

INLINE void NAME(gradient_tile)(const int rows, const int halves, const block *b, const float *x, const float *g,
                                ptrdiff_t stride, float *out, ptrdiff_t padded)
{
    vf sum[ROWS][2];
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++)
            sum[m][h] = load(out + m * padded + h * LANES);
    for (ptrdiff_t p = 0; p < b->pixels; p++, g += stride) {
        const float *term = x + b->at[p];
        vf of_g[2];
        for (int h = 0; h < halves; h++)
            of_g[h] = load(g + h * LANES);
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++) {
            vf a = broadcast(term[m]);
            for (int h = 0; h < halves; h++)
                sum[m][h] = FMA(a, of_g[h], sum[m][h]);
        }
    }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++)
            store(out + m * padded + h * LANES, sum[m][h]);
}

/* Terms of one kernel row, the filters of a panel. */
INLINE void NAME(gradient_panel)(const int halves, const block *b, const float *x, const float *g, ptrdiff_t stride,
                                 float *out, ptrdiff_t padded)
{
    for (ptrdiff_t r = 0; r < b->run; r += ROWS) {
        FOR_ROWS(ROWS, MIN(ROWS, b->run - r),
                 NAME(gradient_tile)(rows, halves, b, x + r, g, stride, out + r * padded, padded))
    }
}

TARGET static void NAME(gradient_item)(void *context, ptrdiff_t part)
{
    NAME(gradient_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t all_blocks = s->batch * work->blocks, padded = work->padded;
    ptrdiff_t stride = (s->filters + LANES - 1) / LANES * LANES; /* of g, from pixel to pixel */
    size_t block_size = (NAME(block_bytes)(s, work->rows) + 63) / 64 * 64;
    size_t g_size = stride == s->filters ? 0 : (size_t)(work->rows * s->out_w * stride) * sizeof(float);
    char *memory = hb_scratch(block_size + g_size);
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    float *sums = work->sums + part * s->kernel_h * s->kernel_w * s->channels * padded;
    for (ptrdiff_t k = all_blocks * part / work->parts; k < all_blocks * (part + 1) / work->parts; k++) {
        ptrdiff_t n = k / work->blocks, y0 = k % work->blocks * work->rows, rows_here = MIN(work->rows, s->out_h - y0);
        block b = NAME(make_block)(s, work->x, work->bits, n, y0, rows_here, memory);
        const float *g = work->g + (n * s->out_h + y0) * s->out_w * s->filters;
        if (g_size) { /* zeros after the last filter */
            float *copy = (float *)(memory + block_size);
            memset(copy, 0, g_size);
            for (ptrdiff_t p = 0; p < b.pixels; p++)
                memcpy(copy + p * stride, g + p * s->filters, (size_t)s->filters * sizeof *copy);
            g = copy;
        }
        for (ptrdiff_t i = 0; i < s->kernel_h; i++) {
            const float *x = b.first + i * b.step;
            float *out = sums + i * b.run * padded;
            for (ptrdiff_t o = 0; o < stride; o += PANEL)
                if (stride - o > LANES)
                    NAME(gradient_panel)(2, &b, x, g + o, stride, out + o, padded);
                else
                    NAME(gradient_panel)(1, &b, x, g + o, stride, out + o, padded);
        }
    }
}

/* From nothing: on the thread that goes on with these sums, in whose cache they stay. */
static void NAME(part_item)(void *context, ptrdiff_t part)
{
    const NAME(gradient_work) *work = context;
    ptrdiff_t count = work->terms * work->padded;
    memset(work->sums + part * count, 0, (size_t)count * sizeof *work->sums);
    work->add(work->context, part);
}

/* Some terms of dw: the parts' sums, added in order. */
TARGET static void NAME(reduce_item)(void *context, ptrdiff_t item)
{
    const NAME(gradient_work) *work = context;
    ptrdiff_t filters = work->size->filters, padded = work->padded, items = MIN(PARTS, work->terms);
    for (ptrdiff_t t = work->terms * item / items; t < work->terms * (item + 1) / items; t++) {
        float *first = work->sums + t * padded;
        for (ptrdiff_t part = 1; part < work->parts; part++)
            for (ptrdiff_t o = 0; o < padded; o += LANES)
                store(first + o, load(first + o) + load(first + part * work->terms * padded + o));
        memcpy(work->dw + t * filters, first, (size_t)filters * sizeof *first);
    }
}

/* Sums of `items` items, cut into parts, by add(context, part); then dw. Sizes and blocks of `work` are set. */
static int NAME(sum_parts)(NAME(gradient_work) *work, hb_task add, void *context, ptrdiff_t items)
{
    const hb_conv *s = work->size;
    work->terms = s->kernel_h * s->kernel_w * s->channels;
    work->padded = (s->filters + PANEL - 1) / PANEL * PANEL;
    work->parts = MAX(1, MIN(PARTS, items));
    work->add = add;
    work->context = context;
    work->sums = malloc((size_t)(work->parts * work->terms * work->padded) * sizeof *work->sums);
    if (work->sums == NULL)
        return -1;
    hb_run(NAME(part_item), work, work->parts);
    hb_run(NAME(reduce_item), work, work->failed ? 0 : MIN(PARTS, work->terms));
    free(work->sums);
    return work->failed ? -1 : 0;
}

static int NAME(conv2d_weight_gradient)(const hb_conv *s, const float *x, const uint64_t *bits, const float *g,
                                        float *dw)
{
    NAME(gradient_work) work = {.size = s, .x = x, .bits = bits, .g = g, .dw = dw};
    work.rows = NAME(block_rows)(s, 64 << 10);
    work.blocks = (s->out_h + work.rows - 1) / work.rows;
    return NAME(sum_parts)(&work, NAME(gradient_item), &work, s->batch * work.blocks);
}
