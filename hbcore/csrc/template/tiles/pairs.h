/* Binary convolutions in tiles with two thirds of the products; a part of template.h.
 *
 * For two outputs side by side, kernels three taps wide need four products, not six, where their operands are added up
 * before (Winograd, 1980). Signs d0 ... d3 of the picture, taps g0, g1, g2:
 *
 *     m0 = (d0 - d2) 2 g0         m1 = (d1 + d2) (g0 + g1 + g2)      2 y0 = m0 + m1 + m2
 *     m3 = (d1 - d3) 2 g2         m2 = (d2 - d1) (g0 - g1 + g2)      2 y1 = m1 - m2 - m3
 *
 * Operands fit bytes, sums of integers are exact. Each of the four kinds of operands of a band of rows lies in a plane of
 * its own, pair after pair and row after row, so that 16 pairs of 64 channels are a tile.
 *
 * A block is SUM_PAIRS pairs and a panel of filters. While its tiles are multiplied, vectors finish the block before, a few
 * pairs with every step.
 */
enum { SUM_PAIRS = 2 * TILE_ROWS };

typedef int8_t byte_signs __attribute__((vector_size(TILE_BYTES), may_alias));

/* A band of rows, and the sums of two blocks in turns. */
typedef struct {
    int8_t *bytes;
    ptrdiff_t pairs;      /* in a row */
    ptrdiff_t row, plane; /* bytes from one to the next */
    ptrdiff_t steps;      /* tiles of a pair */
    int32_t *sums;        /* (2, 4, SUM_PAIRS, PANEL) */
    uint64_t *gathered;   /* bits of the outputs of a block */
} NAME(pair_band);

/* Pairs whose sums are there. */
typedef struct {
    const int32_t *sums; /* of the next one */
    uint64_t *gathered;  /* its bits */
    ptrdiff_t count;
    ptrdiff_t filter;    /* the first of the panel */
    ptrdiff_t pixel, x;  /* its first output, and where in its row */
} NAME(waiting_pairs);

/* 64 signs of pixel x of a row, 0 outside the picture. */
INLINE byte_signs NAME(signs_at)(const hb_conv *s, const uint64_t *row, ptrdiff_t x)
{
    byte_signs signs = {0};
    if (x >= 0 && x < s->width)
        signs_of_bits((int8_t *)&signs, row[x * (s->channels / 64)]);
    return signs;
}

/* A row of the picture in all four planes, or of zeros where it is NULL. */
INLINE void NAME(fill_pair_row)(const hb_conv *s, const NAME(pair_band) *b, int8_t *out, const uint64_t *row)
{
    if (row == NULL) {
        for (int m = 0; m < 4; m++)
            memset(out + m * b->plane, 0, (size_t)b->row);
        return;
    }
    for (ptrdiff_t k = 0; k < b->steps; k++, row++, out += TILE_BYTES) {
        byte_signs d0 = NAME(signs_at)(s, row, -s->pad_w), d1 = NAME(signs_at)(s, row, 1 - s->pad_w);
        int8_t *to = out;
        for (ptrdiff_t p = 0; p < b->pairs; p++, to += s->channels) {
            byte_signs d2 = NAME(signs_at)(s, row, 2 * p + 2 - s->pad_w), d3 = NAME(signs_at)(s, row, 2 * p + 3 - s->pad_w);
            *(byte_signs *)to = d0 - d2;
            *(byte_signs *)(to + b->plane) = d1 + d2;
            *(byte_signs *)(to + 2 * b->plane) = d2 - d1;
            *(byte_signs *)(to + 3 * b->plane) = d1 - d3;
            d0 = d2;
            d1 = d3;
        }
    }
}

/* The filters of a panel of the next `count` pairs that wait, if there are so many. */
INLINE void NAME(finish_pairs)(const int kind, const NAME(binary_work) *work, NAME(waiting_pairs) *w, ptrdiff_t count)
{
    const hb_conv *s = work->size;
    const ptrdiff_t next = SUM_PAIRS * PANEL; /* from one kind of products to the next */
    for (count = MIN(count, w->count); count > 0; count--) {
        int two = w->x + 1 < s->out_w;
        for (ptrdiff_t h = 0; h < PANEL && w->filter + h < s->filters; h += LANES) {
            const int32_t *m = w->sums + h;
            vi m0 = *(const vi *)m, m1 = *(const vi *)(m + next), m2 = *(const vi *)(m + 2 * next),
               m3 = *(const vi *)(m + 3 * next);
            NAME(finish)(kind, work->end, __builtin_convertvector((m0 + m1 + m2) >> 1, vf), w->pixel, w->filter + h,
                         s->filters, w->gathered);
            if (two)
                NAME(finish)(kind, work->end, __builtin_convertvector((m1 - m2 - m3) >> 1, vf), w->pixel + 1, w->filter + h,
                             s->filters, w->gathered + 1);
        }
        w->pixel += 1 + two;
        w->x = w->x + 2 < s->out_w ? w->x + 2 : 0;
        w->sums += PANEL;
        w->gathered += 2;
        w->count--;
    }
}

/* Sums of a block, whose first pair lies at `x` in the first plane, for one or two halves of a panel of filters. */
INLINE void NAME(multiply_pair_tiles)(const int kind, const int halves, const NAME(binary_work) *work,
                                      const NAME(pair_band) *b, const int8_t *x, const int8_t *panel, int32_t *sums,
                                      NAME(waiting_pairs) *waiting)
{
    const hb_conv *s = work->size;
    ptrdiff_t tiles = s->kernel_h * b->steps, other = 4 * tiles * TILE_ROWS * TILE_BYTES, line = PANEL * sizeof *sums;
    ptrdiff_t share = (SUM_PAIRS + 4 * tiles - 1) / (4 * tiles);
    for (int m = 0; m < 4; m++, x += b->plane, sums += SUM_PAIRS * PANEL) {
        TILE_ZERO(0);
        TILE_ZERO(2);
        if (halves == 2) {
            TILE_ZERO(1);
            TILE_ZERO(3);
        }
        for (ptrdiff_t i = 0; i < s->kernel_h; i++)
            for (ptrdiff_t k = 0; k < b->steps; k++, panel += TILE_ROWS * TILE_BYTES) {
                const int8_t *at = x + i * b->row + k * TILE_BYTES;
                TILE_LOAD(4, at, s->channels);
                TILE_LOAD(6, panel, TILE_BYTES);
                TILE_MULTIPLY_SS(0, 4, 6);
                TILE_LOAD(5, at + TILE_ROWS * s->channels, s->channels);
                TILE_MULTIPLY_SS(2, 5, 6);
                if (halves == 2) {
                    TILE_LOAD(7, panel + other, TILE_BYTES);
                    TILE_MULTIPLY_SS(1, 4, 7);
                    TILE_MULTIPLY_SS(3, 5, 7);
                }
                NAME(finish_pairs)(kind, work, waiting, share);
            }
        TILE_STORE(0, sums, line);
        TILE_STORE(2, sums + TILE_ROWS * PANEL, line);
        if (halves == 2) {
            TILE_STORE(1, sums + LANES, line);
            TILE_STORE(3, sums + TILE_ROWS * PANEL + LANES, line);
        }
    }
}

/* `rows` rows of outputs, which have numbers from `first` on. */
INLINE void NAME(pair_rows)(const int kind, const NAME(binary_work) *work, const NAME(pair_band) *b, ptrdiff_t first,
                            ptrdiff_t rows)
{
    const hb_conv *s = work->size;
    ptrdiff_t last = rows * b->pairs, panel = 4 * s->kernel_h * b->steps * TILE_ROWS * TILE_BYTES, turn = 0;
    NAME(waiting_pairs) w = {0};
    for (ptrdiff_t at = 0; at < last; at += SUM_PAIRS) {
        const int8_t *x = b->bytes + at * s->channels, *filters = work->filters->pairs;
        ptrdiff_t left = at % b->pairs * 2, pixel = first + at / b->pairs * s->out_w + left;
        for (ptrdiff_t o = 0; o < s->filters; o += PANEL, filters += 2 * panel) {
            int32_t *sums = b->sums + turn * 4 * SUM_PAIRS * PANEL;
            turn = !turn;
            if (s->filters - o > LANES)
                NAME(multiply_pair_tiles)(kind, 2, work, b, x, filters, sums, &w);
            else
                NAME(multiply_pair_tiles)(kind, 1, work, b, x, filters, sums, &w);
            NAME(finish_pairs)(kind, work, &w, w.count);
            w = (NAME(waiting_pairs)){sums, b->gathered, MIN(SUM_PAIRS, last - at), o, pixel, left};
        }
    }
    NAME(finish_pairs)(kind, work, &w, w.count);
}

/* The sizes of a band of so many rows of the picture; returns how many bytes it needs. */
static size_t NAME(lay_out_pairs)(const hb_conv *s, NAME(pair_band) *b, ptrdiff_t rows, void *memory)
{
    b->pairs = (s->out_w + 1) / 2;
    b->row = b->pairs * s->channels;
    b->plane = rows * b->row;
    b->steps = s->channels / TILE_BYTES;
    size_t sums = 2 * 4 * SUM_PAIRS * PANEL * sizeof *b->sums, bits = 2 * SUM_PAIRS * sizeof *b->gathered;
    b->sums = memory;
    b->gathered = (uint64_t *)((char *)memory + sums);
    b->bytes = (int8_t *)memory + sums + bits;
    return sums + bits + (size_t)(4 * b->plane + SUM_PAIRS * s->channels); /* tiles read behind the last pair */
}

TARGET static void NAME(pairs_item)(void *context, ptrdiff_t item)
{
    NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t bands = (s->out_h + work->band - 1) / work->band, n = item / bands, words = s->channels / 64;
    ptrdiff_t y0 = item % bands * work->band, rows = MIN(work->band, s->out_h - y0), in_rows = rows + s->kernel_h - 1;
    NAME(pair_band) b;
    void *memory = hb_scratch(NAME(lay_out_pairs)(s, &b, in_rows, NULL));
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    NAME(lay_out_pairs)(s, &b, in_rows, memory);
    memset(b.gathered, 0, 2 * SUM_PAIRS * sizeof *b.gathered);
    for (ptrdiff_t r = 0; r < in_rows; r++) {
        ptrdiff_t y = y0 + r - s->pad_h;
        const uint64_t *row = y >= 0 && y < s->height ? work->x + (n * s->height + y) * s->width * words : NULL;
        NAME(fill_pair_row)(s, &b, b.bytes + r * b.row, row);
    }
    int kind = NAME(kind)(work->end, s->filters);
    ptrdiff_t first = (n * s->out_h + y0) * s->out_w;
    NAME(use_tiles)();
    if (kind == ALPHA)
        NAME(pair_rows)(ALPHA, work, &b, first, rows);
    else if (kind == (ALPHA | SKIP))
        NAME(pair_rows)(ALPHA | SKIP, work, &b, first, rows);
    else if (kind == (ALPHA | SKIP | BITS))
        NAME(pair_rows)(ALPHA | SKIP | BITS, work, &b, first, rows);
    else
        NAME(pair_rows)(ANY, work, &b, first, rows);
    LEAVE_TILES();
}
