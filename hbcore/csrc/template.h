/* The kernels, written once in vectors of LANES floats. An instruction set's own file defines, then includes this:
 *
 *   TARGET      function attribute that allows its instructions
 *   NAME(x)     x with the instruction set's name at its end
 *   LANES       floats in a register;  ROWS: of a register tile, ROWS x 2 registers of sums
 *   PIXELS      of a tile of a binary convolution
 *   EVEN_LANES  0, 2, 4, ...: LANES of them;  LANE_NUMBERS  0, 1, 2, ...
 *   FMA(a,b,c)  a b + c, fused where the hardware can
 *   MASK(v)     one bit per lane: the sign bits of a vector of int32
 *   add_counts(n, v)  adds the bits set in v to counters, which can take WAIT words before
 *   sum_counts(n)     must empty them: the sum of the counters in each word
 *   BYTE_ROWS, MULTIPLY(u, s), WIDEN(v), STORE_BYTES(p, v)   see gradients.h
 *   LOOK_UP(t, b), TABLE(p)   see tables.h; not there where bits are counted otherwise
 */
#include <string.h>

#include "kernels.h"
#include "memory.h"
#include "panels.h"
#include "pool.h"

#define INLINE static inline __attribute__((always_inline)) TARGET
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float vh __attribute__((vector_size(2 * LANES), aligned(4), may_alias)); /* half of vf, as doubles: */
typedef double vd __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint8_t quarter __attribute__((vector_size(LANES))); /* of a register, as bytes */
typedef uint64_t vw __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
enum { WORDS = LANES / 2, PANEL = 2 * LANES };

INLINE vf load(const float *p)
{
    return *(const vf *)p;
}

INLINE void store(float *p, vf v)
{
    *(vf *)p = v;
}

INLINE vf all(float a)
{
    return a - (vf){0}; /* not plus: compilers know that a - 0 is a, even if that is -0 */
}

/* The lower (0) or upper (1) half, as doubles. */
INLINE vd half(vf v, int upper)
{
    vh halves[2];
    memcpy(halves, &v, sizeof v);
    return __builtin_convertvector(halves[upper], vd);
}

/* a where the mask is -1, b where it is 0 */
INLINE vf choose(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* Which lane stands for which bit of a group of LANES bits. */
INLINE vi lane_bits(void)
{
    return ((vi){0} + 1) << (vi){LANE_NUMBERS};
}

/* Lanes of -1 (all bits) where the bit is set, of 0 elsewhere. */
INLINE vi spread(uint32_t bits)
{
    return ((((vi){0} + (int32_t)bits) & lane_bits()) != 0);
}

/* The LANES bits that start at channel c. */
INLINE uint32_t bits_at(const uint64_t *words, ptrdiff_t c)
{
    return (uint32_t)(words[c / 64] >> (c % 64)) & (uint32_t)((1ull << LANES) - 1);
}

/* -------------------------------------------------------------------------------- rows of a picture, with borders
 *
 * A convolution looks at an output pixel's neighbourhood as kH runs of kW C numbers. Copied with its zeros around it, a
 * block of the picture gives every output pixel such runs, at one distance from each other: no branch for the border.
 */
typedef struct {
    const float *first; /* of the block */
    ptrdiff_t step;     /* from one kernel row to the next */
    ptrdiff_t run;      /* numbers in a kernel row */
    ptrdiff_t pixels;   /* outputs */
    ptrdiff_t *at;      /* where the neighbourhood of each begins */
} block;

/* +1 and -1 for `pixels` pixels of signs. */
INLINE void fill_from_bits(float *out, const uint64_t *bits, ptrdiff_t pixels, ptrdiff_t channels)
{
    const vi one = (vi)all(1.0f), minus = (vi){0} + INT32_MIN;
    ptrdiff_t words = (channels + 63) / 64;
    for (ptrdiff_t p = 0; p < pixels; p++, bits += words, out += channels) {
        ptrdiff_t c = 0;
        for (; c + LANES <= channels; c += LANES)
            store(out + c, (vf)(one | (spread(bits_at(bits, c)) & minus)));
        for (; c < channels; c++)
            out[c] = (bits[c / 64] >> (c % 64)) & 1 ? -1.0f : 1.0f;
    }
}

/* Bytes of memory that a block of `rows` output rows needs. */
static size_t NAME(block_bytes)(const hb_conv *s, ptrdiff_t rows)
{
    size_t in_rows = (size_t)((rows - 1) * s->stride + s->kernel_h), width = (size_t)(s->width + 2 * s->pad_w);
    size_t numbers = (in_rows * width * (size_t)s->channels + 15) / 16 * 16;
    return numbers * sizeof(float) + (size_t)(rows * s->out_w) * sizeof(ptrdiff_t);
}

/* Output rows y0 ... y0 + rows - 1 of picture n, in `memory` (64-byte aligned, of block_bytes). */
TARGET static block NAME(make_block)(const hb_conv *s, const float *x, const uint64_t *bits, ptrdiff_t n, ptrdiff_t y0,
                                     ptrdiff_t rows, void *memory)
{
    ptrdiff_t c = s->channels, width = s->width + 2 * s->pad_w, words = (c + 63) / 64;
    ptrdiff_t in_rows = (rows - 1) * s->stride + s->kernel_h, top = y0 * s->stride - s->pad_h;
    float *numbers = memory;
    ptrdiff_t *at = (ptrdiff_t *)(numbers + (in_rows * width * c + 15) / 16 * 16);
    for (ptrdiff_t r = 0; r < in_rows; r++) {
        float *row = numbers + r * width * c;
        ptrdiff_t y = top + r, from = (n * s->height + y) * s->width;
        if (y < 0 || y >= s->height) {
            memset(row, 0, (size_t)(width * c) * sizeof *row);
            continue;
        }
        memset(row, 0, (size_t)(s->pad_w * c) * sizeof *row);
        if (x != NULL)
            memcpy(row + s->pad_w * c, x + from * c, (size_t)(s->width * c) * sizeof *row);
        else
            fill_from_bits(row + s->pad_w * c, bits + from * words, s->width, c);
        memset(row + (s->pad_w + s->width) * c, 0, (size_t)(s->pad_w * c) * sizeof *row);
    }
    for (ptrdiff_t oy = 0; oy < rows; oy++)
        for (ptrdiff_t ox = 0; ox < s->out_w; ox++)
            at[oy * s->out_w + ox] = (oy * width + ox) * s->stride * c;
    return (block){numbers, width * c, s->kernel_w * c, rows * s->out_w, at};
}

/* Output rows in a block, so that it stays below `bytes`, and blocks in a batch. */
static ptrdiff_t NAME(block_rows)(const hb_conv *s, size_t bytes)
{
    ptrdiff_t rows = s->out_h;
    while (rows > 1 && NAME(block_bytes)(s, rows) > bytes)
        rows = (rows + 1) / 2;
    return rows;
}

/* -------------------------------------------------------------------------------- what becomes of a sum
 *
 * The common epilogues are compiled on their own, so that nothing needs to be asked for every few filters: sums that are
 * stored as they are or times alpha, perhaps added to a skip path, perhaps with their bits; LANES filters or a multiple.
 */
enum { ALPHA = 1, SKIP = 2, BITS = 4, ANY = 8 };

INLINE int NAME(kind)(const hb_epilogue *end, ptrdiff_t filters)
{
    if (filters % LANES != 0 || end->y == NULL || end->bias != NULL || end->relu || end->slope != NULL
        || end->scale != NULL || end->relu_last)
        return ANY;
    return (end->alpha != NULL) * ALPHA + (end->skip != NULL) * SKIP + (end->bits != NULL) * BITS;
}

/* Filters f ... f + LANES - 1 of one pixel; bits gather in *word, which is written when it is full. */
INLINE void NAME(finish)(const int kind, const hb_epilogue *end, vf v, ptrdiff_t pixel, ptrdiff_t f, ptrdiff_t filters,
                         uint64_t *word)
{
    ptrdiff_t used = kind == ANY ? MIN(LANES, filters - f) : LANES;
    if (kind == ANY ? end->alpha != NULL : kind & ALPHA)
        v *= load(end->alpha + f);
    if (kind == ANY) {
        if (end->bias != NULL)
            v += load(end->bias + f);
        if (end->relu)
            v = choose(v > all(0.0f), v, all(0.0f));
        if (end->slope != NULL)
            v = choose(v > all(0.0f), v, v * load(end->slope + f));
        if (end->scale != NULL)
            v = v * load(end->scale + f) + load(end->shift + f);
        if (end->relu_last)
            v = choose(v > all(0.0f), v, all(0.0f));
    }
    if (kind == ANY ? end->bits != NULL : kind & BITS) {
        uint64_t below = (uint64_t)MASK(v < load(end->threshold + f)) << (f % 64);
        *word |= below & (used == LANES ? ~0ull : ((1ull << used) - 1) << (f % 64));
        if (f % 64 + LANES == 64 || f + LANES >= filters) {
            end->bits[pixel * ((filters + 63) / 64) + f / 64] = *word ^ end->flip[f / 64];
            *word = 0;
        }
    }
    if (kind == ANY && end->y == NULL)
        return;
    float *y = end->y + pixel * end->y_step + f;
    const float *skip = (kind == ANY ? end->skip != NULL : kind & SKIP) ? end->skip + pixel * end->skip_step + f : NULL;
    if (used == LANES) {
        if (skip != NULL)
            v += load(skip);
        store(y, v);
        return;
    }
    float line[LANES];
    store(line, v);
    for (ptrdiff_t k = 0; k < used; k++)
        y[k] = skip == NULL ? line[k] : skip[k] + line[k];
}

/* -------------------------------------------------------------------------------- y = x * w
 *
 * A tile of ROWS pixels times one panel stays in registers while all kH kW C terms are summed.
 */
typedef struct {
    const hb_conv *size;
    const float *x, *panels;
    const hb_epilogue *end;
    ptrdiff_t rows, blocks; /* of a picture */
    int failed;
} NAME(forward_work);

INLINE void NAME(forward_tile)(const int rows, const int kind, const block *b, ptrdiff_t kernel_h, const ptrdiff_t *at,
                               const float *panel, const hb_epilogue *end, ptrdiff_t first, ptrdiff_t o,
                               ptrdiff_t filters)
{
    vf sum[ROWS][2];
    const float *pixel[ROWS];
    for (int m = 0; m < rows; m++) {
        sum[m][0] = sum[m][1] = (vf){0};
        pixel[m] = b->first + at[m];
    }
    for (ptrdiff_t i = 0; i < kernel_h; i++) {
        for (ptrdiff_t r = 0; r < b->run; r++, panel += PANEL) {
            vf w0 = load(panel), w1 = load(panel + LANES);
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++) {
                vf a = all(pixel[m][r]);
                sum[m][0] = FMA(a, w0, sum[m][0]);
                sum[m][1] = FMA(a, w1, sum[m][1]);
            }
        }
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++)
            pixel[m] += b->step;
    }
    for (int m = 0; m < rows; m++)
        for (int h = 0; h < 2; h++)
            if (o + h * LANES < filters) {
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
    block b = NAME(make_block)(s, work->x, NULL, n, y0, rows_here, memory);
    ptrdiff_t terms = s->kernel_h * b.run;
    int kind = NAME(kind)(work->end, s->filters);
    ptrdiff_t first = (n * s->out_h + y0) * s->out_w;
    for (ptrdiff_t o = 0; o < s->filters; o += PANEL) {
        const float *panel = work->panels + o * terms;
        ptrdiff_t p = 0;
        for (; kind == 0 && p + ROWS <= b.pixels; p += ROWS)
            NAME(forward_tile)(ROWS, 0, &b, s->kernel_h, b.at + p, panel, work->end, first + p, o, s->filters);
        for (; p < b.pixels; p += ROWS) {
            FOR_ROWS(ROWS, MIN(ROWS, b.pixels - p),
                     NAME(forward_tile)(rows, ANY, &b, s->kernel_h, b.at + p, panel, work->end, first + p, o, s->filters))
        }
    }
}

static int NAME(conv2d)(const hb_conv *s, const float *x, const float *w, const hb_epilogue *end)
{
    NAME(forward_work) work = {.size = s, .x = x, .panels = w, .end = end};
    work.rows = NAME(block_rows)(s, 96 << 10);
    work.blocks = (s->out_h + work.rows - 1) / work.rows;
    hb_run(NAME(forward_item), &work, s->batch * work.blocks);
    return work.failed ? -1 : 0;
}

/* -------------------------------------------------------------------------------- dw = x^T g
 *
 * A tile of ROWS terms times PANEL filters stays in registers while all pixels of a block are summed. The batch is cut
 * into PARTS parts, whatever the threads: each has its own sums, and these are added in order.
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

INLINE void NAME(gradient_tile)(const int rows, const block *b, const float *x, const float *g, ptrdiff_t stride,
                                float *out, ptrdiff_t padded)
{
    vf sum[ROWS][2];
    for (int m = 0; m < rows; m++) {
        sum[m][0] = load(out + m * padded);
        sum[m][1] = load(out + m * padded + LANES);
    }
    for (ptrdiff_t p = 0; p < b->pixels; p++, g += stride) {
        const float *term = x + b->at[p];
        vf g0 = load(g), g1 = load(g + LANES);
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++) {
            vf a = all(term[m]);
            sum[m][0] = FMA(a, g0, sum[m][0]);
            sum[m][1] = FMA(a, g1, sum[m][1]);
        }
    }
    for (int m = 0; m < rows; m++) {
        store(out + m * padded, sum[m][0]);
        store(out + m * padded + LANES, sum[m][1]);
    }
}

TARGET static void NAME(gradient_item)(void *context, ptrdiff_t part)
{
    NAME(gradient_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t all_blocks = s->batch * work->blocks, padded = work->padded;
    size_t block_size = (NAME(block_bytes)(s, work->rows) + 63) / 64 * 64;
    size_t g_size = padded == s->filters ? 0 : (size_t)(work->rows * s->out_w * padded) * sizeof(float);
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
                memcpy(copy + p * padded, g + p * s->filters, (size_t)s->filters * sizeof *copy);
            g = copy;
        }
        for (ptrdiff_t i = 0; i < s->kernel_h; i++) {
            const float *x = b.first + i * b.step;
            float *out = sums + i * b.run * padded;
            for (ptrdiff_t o = 0; o < padded; o += PANEL)
                for (ptrdiff_t r = 0; r < b.run; r += ROWS) {
                    FOR_ROWS(ROWS, MIN(ROWS, b.run - r),
                             NAME(gradient_tile)(rows, &b, x + r, g + o, padded, out + r * padded + o, padded))
                }
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

#include "gradients.h"

/* -------------------------------------------------------------------------------- y = signs * w
 *
 * Filters side by side: a word of the picture meets two registers of filters, LANES in all. A tile is PIXELS pixels in a
 * row that have the same taps inside the picture, so that filters are loaded once for all of them.
 */
typedef struct {
    const hb_conv *size;
    const uint64_t *x;
    const hb_filters *filters;
    const hb_epilogue *end;
    int failed;
} NAME(binary_work);

INLINE vf NAME(agreement)(ptrdiff_t bits, vw a, vw b)
{
    vi low = __builtin_shufflevector((vi)a, (vi)b, EVEN_LANES);
    return __builtin_convertvector((int32_t)bits - 2 * low, vf);
}

/* Words of the picture: the first of the first pixel, and how far it is to the next pixel and the next kernel row. */
typedef struct {
    const uint64_t *first;
    ptrdiff_t pixel, row;
} NAME(field);

/* Kernel rows i0 ... i1 - 1 of `run` words, of which k0 ... k1 - 1 count. */
INLINE void NAME(binary_tile)(const int pixels, const int kind, const NAME(binary_work) *work, const uint64_t *panels,
                              ptrdiff_t run, NAME(field) x, ptrdiff_t pixel, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t k0,
                              ptrdiff_t k1, ptrdiff_t bits)
{
    const hb_epilogue *end = work->end;
    ptrdiff_t filters = work->size->filters, panel_words = work->size->kernel_h * run * LANES;
    ptrdiff_t count = k1 - k0, skipped = (run - count) * LANES;
    const uint64_t *first = x.first + i0 * x.row + k0, *panel = panels + (i0 * run + k0) * LANES;
    uint64_t gathered[PIXELS] = {0};
    for (ptrdiff_t o = 0; o < filters; o += LANES, panel += panel_words) {
        const uint64_t *row = first, *w = panel;
        vw differing[PIXELS][2] = {0}, counters[PIXELS][2] = {0};
        int waiting = 0;
        for (ptrdiff_t i = i0; i < i1; i++, row += x.row, w += skipped)
            for (ptrdiff_t k = 0; k < count; k++, w += LANES) {
                vw w0 = *(const vw *)w, w1 = *(const vw *)(w + WORDS);
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++) {
                    vw a = (vw){0} + row[p * x.pixel + k];
                    counters[p][0] = add_counts(counters[p][0], a ^ w0);
                    counters[p][1] = add_counts(counters[p][1], a ^ w1);
                }
                if (++waiting == WAIT) {
                    waiting = 0;
                    for (int p = 0; p < pixels; p++)
                        for (int h = 0; h < 2; h++) {
                            differing[p][h] += sum_counts(counters[p][h]);
                            counters[p][h] = (vw){0};
                        }
                }
            }
#pragma GCC unroll 8
        for (int p = 0; p < pixels; p++) {
            vf sums = NAME(agreement)(bits, differing[p][0] + sum_counts(counters[p][0]),
                                      differing[p][1] + sum_counts(counters[p][1]));
            NAME(finish)(kind, end, sums, pixel + p, o, filters, &gathered[p]);
        }
    }
}

/* Calls the tile with its constants. */
TARGET static void NAME(binary_tiles)(int many, int kind, const NAME(binary_work) *work, const uint64_t *panels,
                                      ptrdiff_t run, NAME(field) x, ptrdiff_t pixel, ptrdiff_t i0, ptrdiff_t i1,
                                      ptrdiff_t k0, ptrdiff_t k1, ptrdiff_t bits)
{
#define TILE(pixels, kind) NAME(binary_tile)(pixels, kind, work, panels, run, x, pixel, i0, i1, k0, k1, bits)
    if (!many)
        TILE(1, ANY);
    else if (kind == ALPHA)
        TILE(PIXELS, ALPHA);
    else if (kind == (ALPHA | SKIP))
        TILE(PIXELS, ALPHA | SKIP);
    else if (kind == (ALPHA | SKIP | BITS))
        TILE(PIXELS, ALPHA | SKIP | BITS);
    else
        TILE(PIXELS, ANY);
#undef TILE
}

/* A row of outputs' neighbourhoods with packed taps, for those that lie inside the picture in x: (kH, out_w, words). */
TARGET static uint64_t *NAME(pack_taps)(const NAME(binary_work) *work, const uint64_t *x, ptrdiff_t i0, ptrdiff_t i1)
{
    const hb_conv *s = work->size;
    ptrdiff_t words = hb_packed_words(s->kernel_w, s->channels);
    size_t bytes = (size_t)(s->kernel_h * s->out_w * words) * sizeof(uint64_t);
    uint64_t *rows = hb_scratch(bytes);
    if (rows == NULL)
        return NULL;
    memset(rows, 0, bytes);
    ptrdiff_t begin = (s->pad_w + s->stride - 1) / s->stride;
    ptrdiff_t end = s->width + s->pad_w < s->kernel_w ? 0 : (s->width + s->pad_w - s->kernel_w) / s->stride + 1;
    for (ptrdiff_t i = i0; i < i1; i++)
        for (ptrdiff_t j = 0; j < s->kernel_w; j++) {
            ptrdiff_t at = j * s->channels, up = at % 64;
            const uint64_t *tap = x + i * s->width + j - s->pad_w;
            uint64_t *row = rows + i * s->out_w * words + at / 64;
            for (ptrdiff_t ox = begin; ox < end; ox++)
                row[ox * words] |= tap[ox * s->stride] << up;
            for (ptrdiff_t ox = begin; up + s->channels > 64 && ox < end; ox++)
                row[ox * words + 1] |= tap[ox * s->stride] >> (64 - up);
        }
    return rows;
}

TARGET static void NAME(binary_item)(void *context, ptrdiff_t item)
{
    const NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t n = item / s->out_h, oy = item % s->out_h, words = (s->channels + 63) / 64, run = s->kernel_w * words;
    ptrdiff_t top = oy * s->stride - s->pad_h;
    ptrdiff_t i0 = MAX(0, -top), i1 = MIN(s->kernel_h, s->height - top);
    const uint64_t *line = work->x + (n * s->height + top) * s->width * words;
    const uint64_t *packed = work->filters->packed == NULL ? NULL : NAME(pack_taps)(work, line, i0, i1);
    ptrdiff_t packed_run = hb_packed_words(s->kernel_w, s->channels);
    int kind = NAME(kind)(work->end, s->filters);
    for (ptrdiff_t ox = 0; ox < s->out_w;) {
        ptrdiff_t left = ox * s->stride - s->pad_w, last = left + (PIXELS - 1) * s->stride;
        ptrdiff_t j0 = MAX(0, -left), j1 = MIN(s->kernel_w, s->width - left);
        /* Taps outside the picture contribute 0: they are not there. */
        ptrdiff_t bits = MAX(0, i1 - i0) * MAX(0, j1 - j0) * s->channels;
        ptrdiff_t pixel = item * s->out_w + ox;
        int inside = left >= 0 && left + s->kernel_w <= s->width;
        int whole = inside && ox + PIXELS <= s->out_w && last + s->kernel_w <= s->width;
        if (inside && packed != NULL) {
            NAME(field) x = {packed + ox * packed_run, packed_run, s->out_w * packed_run};
            NAME(binary_tiles)(whole, kind, work, work->filters->packed, packed_run, x, pixel, i0, i1, 0, packed_run, bits);
        } else {
            NAME(field) x = {line + left * words, s->stride * words, s->width * words};
            NAME(binary_tiles)(whole, kind, work, work->filters->words, run, x, pixel, i0, i1, j0 * words, j1 * words, bits);
        }
        ox += whole ? PIXELS : 1;
    }
}

#ifdef LOOK_UP
#include "tables.h"
#define TABLE_ITEM NAME(table_item)
#else
#define TABLE_ITEM NAME(binary_item) /* there are no nibbles */
#endif

static int NAME(binary_conv2d)(const hb_conv *s, const uint64_t *x, const hb_filters *w, const hb_epilogue *end)
{
    NAME(binary_work) work = {s, x, w, end, 0};
    hb_run(w->nibbles != NULL ? TABLE_ITEM : NAME(binary_item), &work, s->batch * s->out_h);
    return work.failed ? -1 : 0;
}

/* -------------------------------------------------------------------------------- batch normalisation
 *
 * Sums are taken in double, over slices of the rows: SLICES of them whatever the threads. RUN rows at a time stay in the
 * cache while the registers of channels go over them.
 */
enum { SLICES = 8, SLICE_ROWS = 512, RUN = 16 };

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *g;
    const uint64_t *window;
    const float *center; /* origin or mean */
    double *sums;        /* (slices, 2, C) */
} NAME(sum_work);

/* first += u, second += u v over a run, where
 *   MOMENTS        u = v = x - center
 *   ALL, WINDOWED  u = g, everywhere or in the window, and v = x - center
 */
enum { MOMENTS, ALL, WINDOWED };

INLINE void NAME(sum_run)(const int kind, const NAME(sum_work) *work, ptrdiff_t begin, ptrdiff_t end, double *first,
                          double *second)
{
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64, c = 0;
    for (; c + LANES <= channels; c += LANES) {
        vf center = load(work->center + c);
        vd a[2], b[2];
        memcpy(a, first + c, sizeof a);
        memcpy(b, second + c, sizeof b);
        for (ptrdiff_t row = begin; row < end; row++) {
            vf v = load(work->x + row * channels + c);
            if (kind == MOMENTS) {
                for (int h = 0; h < 2; h++) {
                    vd distance = half(v, h) - half(center, h);
                    a[h] += distance;
                    b[h] += distance * distance;
                }
                continue;
            }
            v -= center;
            vf u = load(work->g + row * channels + c);
            if (kind == WINDOWED)
                u = (vf)((vi)u & spread(bits_at(work->window + row * words, c)));
            for (int h = 0; h < 2; h++) {
                a[h] += half(u, h);
                b[h] += half(u, h) * half(v, h);
            }
        }
        memcpy(first + c, a, sizeof a);
        memcpy(second + c, b, sizeof b);
    }
    for (; c < channels; c++) /* the rest, one by one */
        for (ptrdiff_t row = begin; row < end; row++) {
            float x = work->x[row * channels + c], center = work->center[c];
            if (kind == MOMENTS) {
                double distance = (double)x - center;
                first[c] += distance;
                second[c] += distance * distance;
            } else if (kind == ALL || (work->window[row * words + c / 64] >> (c % 64)) & 1) {
                double g = work->g[row * channels + c];
                first[c] += g;
                second[c] += g * (x - center);
            }
        }
}

TARGET static void NAME(sum_item)(void *context, ptrdiff_t slice)
{
    const NAME(sum_work) *work = context;
    double *first = work->sums + 2 * slice * work->channels, *second = first + work->channels;
    ptrdiff_t last = work->rows * (slice + 1) / work->slices;
    for (ptrdiff_t row = work->rows * slice / work->slices; row < last; row += RUN) {
        ptrdiff_t end = MIN(row + RUN, last);
        if (work->g == NULL)
            NAME(sum_run)(MOMENTS, work, row, end, first, second);
        else if (work->window == NULL)
            NAME(sum_run)(ALL, work, row, end, first, second);
        else
            NAME(sum_run)(WINDOWED, work, row, end, first, second);
    }
}

static int NAME(sum)(NAME(sum_work) work, double *first, double *second)
{
    ptrdiff_t channels = work.channels;
    work.slices = MAX(1, MIN(SLICES, work.rows / SLICE_ROWS));
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

static int NAME(moments)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *origin, double *sums,
                         double *squares)
{
    NAME(sum_work) work = {.rows = rows, .channels = channels, .x = x, .center = origin};
    return NAME(sum)(work, sums, squares);
}

static int NAME(norm_sums)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g, const uint64_t *window,
                           const float *mean, double *sums, double *products)
{
    NAME(sum_work) work = {.rows = rows, .channels = channels, .x = x, .g = g, .window = window, .center = mean};
    return NAME(sum)(work, sums, products);
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *scale, *shift;
    uint64_t *signs, *window;
    int nan[SLICES];
} NAME(sign_work);

TARGET static void NAME(sign_item)(void *context, ptrdiff_t slice)
{
    NAME(sign_work) *work = context;
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    vi nan = {0};
    for (ptrdiff_t row = work->rows * slice / work->slices; row < work->rows * (slice + 1) / work->slices; row++) {
        const float *x = work->x + row * channels;
        for (ptrdiff_t word = 0; word < words; word++) {
            uint64_t signs = 0, window = 0;
            ptrdiff_t c = 64 * word, end = MIN(channels, c + 64);
            for (; c + LANES <= end; c += LANES) {
                vf v = load(x + c) * load(work->scale + c) + load(work->shift + c);
                nan |= v != v;
                signs |= (uint64_t)MASK(v < all(0.0f)) << (c % 64);
                window |= (uint64_t)MASK((v < all(1.0f)) & (v > all(-1.0f))) << (c % 64);
            }
            for (; c < end; c++) {
                float v = x[c] * work->scale[c] + work->shift[c];
                nan[0] |= v != v;
                signs |= (uint64_t)(v < 0.0f) << (c % 64);
                window |= (uint64_t)(v < 1.0f && v > -1.0f) << (c % 64);
            }
            work->signs[row * words + word] = signs;
            work->window[row * words + word] = window;
        }
    }
    for (int k = 0; k < LANES; k++)
        work->nan[slice] |= nan[k];
}

static int NAME(norm_sign)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *scale, const float *shift,
                           uint64_t *signs, uint64_t *window)
{
    NAME(sign_work) work = {rows, channels, MAX(1, MIN(SLICES, rows / SLICE_ROWS)), x, scale, shift, signs, window, {0}};
    hb_run(NAME(sign_item), &work, work.slices);
    int nan = 0;
    for (int slice = 0; slice < SLICES; slice++)
        nan |= work.nan[slice];
    return nan != 0;
}

typedef struct {
    ptrdiff_t rows, channels, slices;
    const float *x, *g;
    const uint64_t *window;
    const float *a, *b, *c;
    float *out;
} NAME(backward_work);

TARGET static void NAME(backward_item)(void *context, ptrdiff_t slice)
{
    const NAME(backward_work) *work = context;
    ptrdiff_t channels = work->channels, words = (channels + 63) / 64;
    for (ptrdiff_t row = work->rows * slice / work->slices; row < work->rows * (slice + 1) / work->slices; row++) {
        const float *x = work->x + row * channels, *g = work->g + row * channels;
        const uint64_t *window = work->window == NULL ? NULL : work->window + row * words;
        float *out = work->out + row * channels;
        ptrdiff_t k = 0;
        for (; k + LANES <= channels; k += LANES) {
            vf u = load(g + k);
            if (window != NULL)
                u = (vf)((vi)u & spread(bits_at(window, k)));
            store(out + k, u * load(work->a + k) + load(x + k) * load(work->b + k) + load(work->c + k));
        }
        for (; k < channels; k++) {
            float u = window == NULL || (window[k / 64] >> (k % 64)) & 1 ? g[k] : 0.0f;
            out[k] = u * work->a[k] + x[k] * work->b[k] + work->c[k];
        }
    }
}

static int NAME(norm_backward)(ptrdiff_t rows, ptrdiff_t channels, const float *x, const float *g,
                               const uint64_t *window, const float *a, const float *b, const float *c, float *out)
{
    NAME(backward_work) work = {rows, channels, MAX(1, MIN(SLICES, rows / SLICE_ROWS)), x, g, window, a, b, c, out};
    hb_run(NAME(backward_item), &work, work.slices);
    return 0;
}

/* -------------------------------------------------------------------------------- comparing, pooling, adding */

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
    for (ptrdiff_t row = work->rows * slice / work->slices; row < work->rows * (slice + 1) / work->slices; row++) {
        const float *x = work->x + row * channels;
        for (ptrdiff_t word = 0; word < words; word++) {
            uint64_t bits = 0;
            ptrdiff_t c = 64 * word, end = MIN(channels, c + 64);
            for (; c + LANES <= end; c += LANES)
                bits |= (uint64_t)MASK(load(x + c) < load(work->threshold + c)) << (c % 64);
            for (; c < end; c++)
                bits |= (uint64_t)(x[c] < work->threshold[c]) << (c % 64);
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
    ptrdiff_t rows, width, a_step, b_step, out_step, slices;
    const float *a, *b;
    float *out;
} NAME(add_work);

TARGET static void NAME(add_item)(void *context, ptrdiff_t slice)
{
    const NAME(add_work) *work = context;
    for (ptrdiff_t row = work->rows * slice / work->slices; row < work->rows * (slice + 1) / work->slices; row++) {
        const float *a = work->a + row * work->a_step, *b = work->b + row * work->b_step;
        float *out = work->out + row * work->out_step;
        ptrdiff_t k = 0;
        for (; k + LANES <= work->width; k += LANES)
            store(out + k, load(a + k) + load(b + k));
        for (; k < work->width; k++)
            out[k] = a[k] + b[k];
    }
}

static int NAME(add)(ptrdiff_t rows, ptrdiff_t width, const float *a, ptrdiff_t a_step, const float *b,
                     ptrdiff_t b_step, float *out, ptrdiff_t out_step)
{
    NAME(add_work) work = {rows, width, a_step, b_step, out_step, 1, a, b, out};
    work.slices = MAX(1, MIN(SLICES, rows * width / (1 << 14)));
    hb_run(NAME(add_item), &work, work.slices);
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

/* -------------------------------------------------------------------------------- the ceiling */

TARGET static uint64_t NAME(count_rounds)(ptrdiff_t rounds)
{
    vw counters[8] = {{0}}, filters[8], total = {0}, picture = (vw){0} + 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 8; i++)
        filters[i] = picture * (vw)((vw){0} + (uint64_t)(2 * i + 1));
    int waiting = 0;
    for (ptrdiff_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            counters[i] = add_counts(counters[i], picture ^ filters[i]);
        picture += 1; /* nothing can be counted ahead of time */
        if (++waiting == WAIT) {
            waiting = 0;
            for (int i = 0; i < 8; i++) {
                total += sum_counts(counters[i]);
                counters[i] = (vw){0};
            }
        }
    }
    for (int i = 0; i < 8; i++)
        total += sum_counts(counters[i]);
    return total[0];
}

const hb_kernels NAME(hb) = {
    .name = NAME_TEXT,
    .lanes = LANES,
#ifdef LOOK_UP
    .tables = 1,
#endif
    .conv2d = NAME(conv2d),
    .conv2d_weight_gradient = NAME(conv2d_weight_gradient),
    .sign_gradient = NAME(sign_gradient),
    .filter_gradient = NAME(filter_gradient),
    .binary_conv2d = NAME(binary_conv2d),
    .moments = NAME(moments),
    .norm_sign = NAME(norm_sign),
    .norm_sums = NAME(norm_sums),
    .norm_backward = NAME(norm_backward),
    .threshold = NAME(threshold),
    .max_pool = NAME(max_pool),
    .max_pool_backward = NAME(max_pool_backward),
    .add = NAME(add),
    .upsample_add = NAME(upsample_add),
    .count_rounds = NAME(count_rounds),
};
