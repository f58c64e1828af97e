/* Binary convolutions in tiles: the sums of template/binary_conv2d.h; a part of template.h.
 *
 * The signs of a band of rows become bytes, +1 and -1, with 0 around the picture and nothing between its pixels: the taps
 * of a kernel row are one run of bytes, and 64 of them at 16 pixels are a tile. Outputs lie as if rows were as wide as
 * with their borders, so that a tile goes on from row to row; sums of what lies between rows are thrown away. Where a
 * tile reaches beyond a run, its bytes meet filters of 0.
 *
 * A block is SUM_PIXELS outputs and all filters. While tiles are multiplied, vectors finish the block before: a few
 * outputs with every step, for they wait for memory as long as the products take.
 *
 *   signs_of_bits(out, word)   64 bytes: -1 where the bit is 1, else +1
 */
enum { MOST_TILE_ROWS = 8, SUM_PIXELS = 2 * TILE_ROWS };

/* A band of rows in bytes, and the sums of two blocks in turns. */
typedef struct {
    int8_t *bytes;
    ptrdiff_t pixel, row; /* bytes from one to the next */
    ptrdiff_t width;      /* pixels in a row */
    ptrdiff_t steps;      /* tiles in a run */
    ptrdiff_t panel;      /* bytes of 16 filters */
    int32_t *sums;
    ptrdiff_t line; /* sums of an output, padded */
} NAME(byte_band);

/* Outputs whose sums are there. */
typedef struct {
    const int32_t *sums; /* of the next one */
    ptrdiff_t count;
    ptrdiff_t share; /* with every step */
    ptrdiff_t pixel; /* its number */
    ptrdiff_t x;     /* in its row, beyond the last output for what is thrown away */
} NAME(waiting_outputs);

INLINE void NAME(fill_byte_row)(const hb_conv *s, const NAME(byte_band) *b, int8_t *row, const uint64_t *x)
{
    ptrdiff_t words = (s->channels + 63) / 64;
    memset(row, 0, (size_t)(s->pad_w * b->pixel));
    row += s->pad_w * b->pixel;
    for (ptrdiff_t p = 0; p < s->width; p++, row += b->pixel)
        for (ptrdiff_t k = 0; k < words; k++)
            signs_of_bits(row + 64 * k, *x++); /* what is too much is overwritten next */
    memset(row, 0, (size_t)((b->width - s->pad_w - s->width) * b->pixel));
}

/* All filters of the next `count` outputs that wait, if there are so many. */
INLINE void NAME(finish_outputs)(const int kind, const NAME(binary_work) *work, const NAME(byte_band) *b,
                                 NAME(waiting_outputs) *w, ptrdiff_t count)
{
    const hb_conv *s = work->size;
    for (count = MIN(count, w->count); count > 0; count--) {
        uint64_t gathered = 0;
        for (ptrdiff_t o = 0; w->x < s->out_w && o < s->filters; o += LANES) {
            NAME(finish)(kind, work->end, __builtin_convertvector(*(const vi *)(w->sums + o), vf), w->pixel, o, s->filters,
                         &gathered);
        }
        w->pixel += w->x < s->out_w;
        w->x = w->x + 1 < b->width ? w->x + 1 : 0;
        w->sums += b->line;
        w->count--;
    }
}

/* Sums of a block, whose taps begin at `x`, and of one or two panels of filters. */
INLINE void NAME(multiply_sign_tiles)(const int kind, const int panels, const NAME(binary_work) *work,
                                      const NAME(byte_band) *b, const int8_t *x, const int8_t *panel, int32_t *sums,
                                      NAME(waiting_outputs) *waiting)
{
    ptrdiff_t line = b->line * (ptrdiff_t)sizeof *sums;
    TILE_ZERO(0);
    TILE_ZERO(2);
    if (panels == 2) {
        TILE_ZERO(1);
        TILE_ZERO(3);
    }
    for (ptrdiff_t i = 0; i < work->size->kernel_h; i++, x += b->row)
        for (ptrdiff_t k = 0; k < b->steps; k++, panel += TILE_ROWS * TILE_BYTES) {
            TILE_LOAD(4, x + k * TILE_BYTES, b->pixel);
            TILE_LOAD(6, panel, TILE_BYTES);
            TILE_MULTIPLY_SS(0, 4, 6);
            TILE_LOAD(5, x + k * TILE_BYTES + TILE_ROWS * b->pixel, b->pixel);
            TILE_MULTIPLY_SS(2, 5, 6);
            if (panels == 2) {
                TILE_LOAD(7, panel + b->panel, TILE_BYTES);
                TILE_MULTIPLY_SS(1, 4, 7);
                TILE_MULTIPLY_SS(3, 5, 7);
            }
            NAME(finish_outputs)(kind, work, b, waiting, waiting->share);
        }
    TILE_STORE(0, sums, line);
    TILE_STORE(2, sums + TILE_ROWS * b->line, line);
    if (panels == 2) {
        TILE_STORE(1, sums + LANES, line);
        TILE_STORE(3, sums + TILE_ROWS * b->line + LANES, line);
    }
}

/* `rows` rows of outputs, which have numbers from `first` on. */
INLINE void NAME(sign_band)(const int kind, const NAME(binary_work) *work, const NAME(byte_band) *b, ptrdiff_t first,
                            ptrdiff_t rows)
{
    const hb_conv *s = work->size;
    ptrdiff_t last = (rows - 1) * b->width + s->out_w, multiplied = (s->filters + PANEL - 1) / PANEL * s->kernel_h * b->steps;
    NAME(waiting_outputs) w = {.pixel = first, .share = (SUM_PIXELS + multiplied - 1) / multiplied};
    for (ptrdiff_t at = 0; at < last; at += SUM_PIXELS) {
        const int8_t *x = b->bytes + at * b->pixel, *panel = work->filters->tiles;
        int32_t *sums = b->sums + at / SUM_PIXELS % 2 * SUM_PIXELS * b->line;
        for (ptrdiff_t o = 0; o < s->filters; o += PANEL, panel += 2 * b->panel)
            if (s->filters - o > LANES)
                NAME(multiply_sign_tiles)(kind, 2, work, b, x, panel, sums + o, &w);
            else
                NAME(multiply_sign_tiles)(kind, 1, work, b, x, panel, sums + o, &w);
        NAME(finish_outputs)(kind, work, b, &w, w.count);
        w.sums = sums;
        w.count = MIN(SUM_PIXELS, last - at);
    }
    NAME(finish_outputs)(kind, work, b, &w, w.count);
}

/* The sizes of a band of so many rows of the picture; returns how many bytes it needs. */
static size_t NAME(lay_out_band)(const hb_conv *s, NAME(byte_band) *b, ptrdiff_t rows, void *memory)
{
    b->pixel = (s->channels + 3) / 4 * 4;
    b->width = MAX(s->width + 2 * s->pad_w, s->out_w + s->kernel_w - 1);
    b->row = b->width * b->pixel;
    b->steps = (s->kernel_w * b->pixel + TILE_BYTES - 1) / TILE_BYTES;
    b->panel = s->kernel_h * b->steps * TILE_ROWS * TILE_BYTES;
    b->line = (s->filters + PANEL - 1) / PANEL * PANEL;
    b->sums = memory;
    size_t sums = (size_t)(2 * SUM_PIXELS * b->line) * sizeof *b->sums;
    b->bytes = (int8_t *)memory + sums;
    ptrdiff_t beyond = SUM_PIXELS * b->pixel + (b->steps + 1) * TILE_BYTES; /* what tiles read behind the last row */
    return sums + (size_t)(rows * b->row + beyond);
}

TARGET static void NAME(tiles_item)(void *context, ptrdiff_t item)
{
    NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t bands = (s->out_h + work->band - 1) / work->band, n = item / bands, words = (s->channels + 63) / 64;
    ptrdiff_t y0 = item % bands * work->band, rows = MIN(work->band, s->out_h - y0), in_rows = rows + s->kernel_h - 1;
    NAME(byte_band) b;
    void *memory = hb_scratch(NAME(lay_out_band)(s, &b, in_rows, NULL));
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    NAME(lay_out_band)(s, &b, in_rows, memory);
    for (ptrdiff_t r = 0; r < in_rows; r++) {
        ptrdiff_t y = y0 + r - s->pad_h;
        if (y >= 0 && y < s->height)
            NAME(fill_byte_row)(s, &b, b.bytes + r * b.row, work->x + (n * s->height + y) * s->width * words);
        else
            memset(b.bytes + r * b.row, 0, (size_t)b.row);
    }
    int kind = NAME(kind)(work->end, s->filters);
    ptrdiff_t first = (n * s->out_h + y0) * s->out_w;
    NAME(use_tiles)();
    if (kind == ALPHA)
        NAME(sign_band)(ALPHA, work, &b, first, rows);
    else if (kind == (ALPHA | SKIP))
        NAME(sign_band)(ALPHA | SKIP, work, &b, first, rows);
    else if (kind == (ALPHA | SKIP | BITS))
        NAME(sign_band)(ALPHA | SKIP | BITS, work, &b, first, rows);
    else
        NAME(sign_band)(ANY, work, &b, first, rows);
    LEAVE_TILES();
}
