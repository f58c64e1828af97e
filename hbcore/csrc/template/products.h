/* Products of real-valued convolutions; a part of template.h.
 *
 *     y = X w,   dw = X^T g      X[p, t]: number t of the kH kW C around pixel p
 *
 * X is never built: blocks.h says where its rows lie. A tile of the result, ROWS x 2 registers, stays in registers while
 * all of its terms are summed. Of the last registers only the halves are computed that have filters.
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

INLINE void NAME(forward_tile)(const int rows, const int halves, const int kind, const block *b, ptrdiff_t kernel_h,
                               const ptrdiff_t *at, const float *panel, const hb_epilogue *end, ptrdiff_t first,
                               ptrdiff_t o, ptrdiff_t filters)
{
    vf sum[ROWS][2];
    const float *pixel[ROWS];
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = (vf){0};
        pixel[m] = b->first + at[m];
    }
    for (ptrdiff_t i = 0; i < kernel_h; i++) {
        for (ptrdiff_t r = 0; r < b->run; r++, panel += PANEL) {
            vf w[2];
            for (int h = 0; h < halves; h++)
                w[h] = load(panel + h * LANES);
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++) {
                vf a = broadcast(pixel[m][r]);
                for (int h = 0; h < halves; h++)
                    sum[m][h] = FMA(a, w[h], sum[m][h]);
            }
        }
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++)
            pixel[m] += b->step;
    }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < halves; h++) {
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

/* All pixels of a block, the filters of a panel. */
INLINE void NAME(forward_panel)(const int halves, const NAME(forward_work) *work, const block *b, const float *panel,
                                ptrdiff_t first, ptrdiff_t o)
{
    const hb_conv *s = work->size;
    const hb_epilogue *end = work->end;
    ptrdiff_t p = 0;
    for (; NAME(kind)(end, s->filters) == 0 && p + ROWS <= b->pixels; p += ROWS)
        NAME(forward_tile)(ROWS, halves, 0, b, s->kernel_h, b->at + p, panel, end, first + p, o, s->filters);
    for (; p < b->pixels; p += ROWS) {
        FOR_ROWS(ROWS, MIN(ROWS, b->pixels - p),
                 NAME(forward_tile)(rows, halves, ANY, b, s->kernel_h, b->at + p, panel, end, first + p, o, s->filters))
    }
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
    ptrdiff_t terms = s->kernel_h * b.run;
    ptrdiff_t first = (n * s->out_h + y0) * s->out_w;
    for (ptrdiff_t o = 0; o < s->filters; o += PANEL)
        if (s->filters - o > LANES)
            NAME(forward_panel)(2, work, &b, work->panels + o * terms, first, o);
        else
            NAME(forward_panel)(1, work, &b, work->panels + o * terms, first, o);
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

/* Sums of `items` items, cut into parts, by item(context, part); then dw. Sizes and blocks of `work` are set. */
static int NAME(sum_parts)(NAME(gradient_work) *work, hb_task item, void *context, ptrdiff_t items)
{
    const hb_conv *s = work->size;
    work->terms = s->kernel_h * s->kernel_w * s->channels;
    work->padded = (s->filters + PANEL - 1) / PANEL * PANEL;
    work->parts = MAX(1, MIN(PARTS, items));
    work->sums = calloc((size_t)(work->parts * work->terms * work->padded), sizeof(float));
    if (work->sums == NULL)
        return -1;
    hb_run(item, context, work->parts);
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
