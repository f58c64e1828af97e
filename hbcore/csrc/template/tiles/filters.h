/* The gradient of the filters in tiles: what gradients/filters.h does, to the bit; a part of template.h.
 *
 * 16 channels of signs meet the filters of a panel; the pixels of a block are at most two steps of 64. Sums of reals would
 * leave the first-level cache between one block and the next, so up to TOGETHER blocks are brought into memory, and each
 * tile of sums takes them one after the other. For each tap of a kernel row there is a copy of the signs, moved by it, so
 * that 64 pixels lie side by side even where rows are shorter.
 *
 *   bytes_of_bits(out, step, words, inside, bits)   64 words to bytes of each bit; see variants/amx.c
 */
enum { TOGETHER = 4 };

typedef struct {
    uint8_t *signs;       /* (kernel width, channels, pixels) */
    NAME(sign_block) g;   /* its bytes, units and excess */
} NAME(tile_block);

typedef struct {
    NAME(tile_block) block[TOGETHER];
    ptrdiff_t count;
    ptrdiff_t channels, pixels; /* padded */
    uint64_t *words;            /* of a row of signs: (pixels) */
    uint8_t *inside;            /* (pixels): 2 inside the picture, 1 outside */
} NAME(tile_blocks);

/* Where a row of the block lies inside the picture, whose pixel (y, x) is its first. */
INLINE void NAME(row_inside)(const hb_conv *s, ptrdiff_t y, ptrdiff_t x, ptrdiff_t width, ptrdiff_t *from, ptrdiff_t *to)
{
    int within = y >= 0 && y < s->height;
    *from = within ? MIN(width, MAX(0, -x)) : width;
    *to = within ? MAX(*from, MIN(width, s->width - x)) : width;
}

INLINE void NAME(fill_sign_tiles)(const NAME(filters_work) *work, const NAME(tile_blocks) *all,
                                  const NAME(tile_block) *b, ptrdiff_t n, ptrdiff_t y0, ptrdiff_t x0)
{
    const hb_conv *s = work->sums.size;
    ptrdiff_t words = (s->channels + 63) / 64, width = 4 * b->g.quads, top = y0 - s->pad_h, from, to;
    for (ptrdiff_t j = 0; j < s->kernel_w; j++) {
        ptrdiff_t left = x0 + j - s->pad_w;
        memset(all->inside, 1, (size_t)all->pixels);
        for (ptrdiff_t r = 0; r < b->g.in_rows; r++) {
            NAME(row_inside)(s, top + r, left, width, &from, &to);
            memset(all->inside + r * width + from, 2, (size_t)(to - from));
        }
        for (ptrdiff_t word = 0; word < words; word++) {
            memset(all->words, 0, (size_t)all->pixels * sizeof *all->words);
            for (ptrdiff_t r = 0; r < b->g.in_rows; r++) {
                NAME(row_inside)(s, top + r, left, width, &from, &to);
                const uint64_t *bits = work->sums.bits + ((n * s->height + top + r) * s->width + left) * words + word;
                for (ptrdiff_t x = from; x < to; x++)
                    all->words[r * width + x] = bits[x * words];
            }
            uint8_t *out = b->signs + (j * all->channels + 64 * word) * all->pixels;
            for (ptrdiff_t p = 0; p < all->pixels; p += 64)
                bytes_of_bits(out + p, all->pixels, all->words + p, all->inside + p, MIN(64, s->channels - 64 * word));
        }
    }
}

/* Whole rows of zeros behind the bytes of the last pixel. */
INLINE void NAME(pad_bytes)(const NAME(sign_block) *g, ptrdiff_t padded)
{
    ptrdiff_t used = g->rows * g->quads;
    for (ptrdiff_t o = 0; used < g->panel_quads && o < padded; o += PANEL)
        memset(g->bytes + o * g->panel_quads + used * PANEL, 0,
               (size_t)((g->panel_quads - used) * PANEL) * sizeof *g->bytes);
}

typedef struct {
    _Alignas(64) int32_t sums[2][TILE_ROWS][LANES];
    const NAME(sign_block) *g;
    float *out;
} NAME(whole_tiles);

/* Bytes of g and signs of the next sums of 16 channels and the filters of a panel. */
INLINE void NAME(load_filter_tiles)(const int halves, const int steps, const int32_t *bytes, const uint8_t *signs,
                                    ptrdiff_t pixels)
{
    const ptrdiff_t line = PANEL * sizeof *bytes;
    TILE_LOAD(4, signs, pixels);
    TILE_LOAD(0, bytes, line);
    if (halves == 2)
        TILE_LOAD(1, bytes + LANES, line);
    if (steps == 2) {
        bytes += TILE_QUADS * PANEL;
        TILE_LOAD(5, signs + TILE_BYTES, pixels);
        TILE_LOAD(2, bytes, line);
        if (halves == 2)
            TILE_LOAD(3, bytes + LANES, line);
    }
}

INLINE void NAME(multiply_filter_tiles)(const int halves, const int steps)
{
    TILE_ZERO(6);
    TILE_MULTIPLY_US(6, 4, 0);
    if (halves == 2) {
        TILE_ZERO(7);
        TILE_MULTIPLY_US(7, 4, 1);
    }
    if (steps == 2) {
        TILE_MULTIPLY_US(6, 5, 2);
        if (halves == 2)
            TILE_MULTIPLY_US(7, 5, 3);
    }
}

INLINE void NAME(store_filter_tiles)(const int halves, NAME(whole_tiles) *whole)
{
    TILE_STORE(6, whole->sums[0], sizeof whole->sums[0][0]);
    if (halves == 2)
        TILE_STORE(7, whole->sums[1], sizeof whole->sums[1][0]);
}

INLINE void NAME(add_filter_tiles)(const int halves, const NAME(whole_tiles) *whole, ptrdiff_t o, ptrdiff_t padded,
                                   ptrdiff_t rows)
{
    vf unit[2];
    vi excess[2];
    for (int h = 0; h < halves; h++) {
        unit[h] = load(whole->g->unit + o + h * LANES);
        excess[h] = *(const vi *)(whole->g->excess + o + h * LANES);
    }
    float *out = whole->out;
    for (ptrdiff_t m = 0; m < rows; m++, out += padded)
        for (int h = 0; h < halves; h++) {
            vi sum = *(const vi *)whole->sums[h][m] - excess[h];
            store(out + h * LANES, FMA(unit[h], __builtin_convertvector(sum, vf), load(out + h * LANES)));
        }
}

/* A tile is multiplied while vectors add up the one before: they would wait for it. */
INLINE void NAME(filter_panel)(const int halves, const int steps, const NAME(filters_work) *work,
                               const NAME(tile_blocks) *all, ptrdiff_t o, float *sums)
{
    const hb_conv *s = work->sums.size;
    ptrdiff_t padded = work->sums.padded;
    NAME(whole_tiles) whole;
    for (ptrdiff_t c = 0; c < s->channels; c += TILE_ROWS) {
        ptrdiff_t rows = MIN(TILE_ROWS, s->channels - c), tiles = 0;
        for (ptrdiff_t j = 0; j < s->kernel_w; j++)
            for (ptrdiff_t i = 0; i < s->kernel_h; i++)
                for (const NAME(tile_block) *b = all->block; b < all->block + all->count; b++, tiles++) {
                    NAME(load_filter_tiles)(halves, steps, b->g.bytes + o * b->g.panel_quads,
                                            b->signs + (j * all->channels + c) * all->pixels + 4 * i * b->g.quads,
                                            all->pixels);
                    if (tiles > 0)
                        NAME(store_filter_tiles)(halves, &whole);
                    NAME(multiply_filter_tiles)(halves, steps);
                    if (tiles > 0)
                        NAME(add_filter_tiles)(halves, &whole, o, padded, rows);
                    whole.g = &b->g;
                    whole.out = sums + ((i * s->kernel_w + j) * s->channels + c) * padded + o;
                }
        NAME(store_filter_tiles)(halves, &whole);
        NAME(add_filter_tiles)(halves, &whole, o, padded, rows);
    }
}

/* The sizes of blocks and, with memory, where they lie; returns how many bytes they need. */
static size_t NAME(lay_out)(const NAME(filters_work) *work, NAME(tile_blocks) *all, char *memory)
{
    const hb_conv *s = work->sums.size;
    ptrdiff_t padded = work->sums.padded, quads = (work->cols + 3) / 4;
    ptrdiff_t panel_quads = (work->sums.rows * quads + TILE_QUADS - 1) / TILE_QUADS * TILE_QUADS;
    all->channels = (s->channels + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    all->pixels = ((work->sums.rows + s->kernel_h - 1) * 4 * quads + TILE_BYTES - 1) / TILE_BYTES * TILE_BYTES;
    /* Two steps of signs may be read behind the last ones: they meet bytes of 0. */
    size_t signs = (size_t)(s->kernel_w * all->channels * all->pixels + 2 * TILE_BYTES);
    size_t bytes = (size_t)(padded * panel_quads) * sizeof(int32_t), numbers = (size_t)padded * sizeof(float);
    size_t each = signs + bytes + 2 * numbers;
    for (ptrdiff_t k = 0; memory != NULL && k < TOGETHER; k++, memory += each) {
        NAME(tile_block) *b = &all->block[k];
        b->signs = (uint8_t *)memory;
        b->g = (NAME(sign_block)){.bytes = (int32_t *)(memory + signs), .unit = (float *)(memory + signs + bytes),
                                  .excess = (int32_t *)(memory + signs + bytes + numbers), .quads = quads,
                                  .panel_quads = panel_quads};
    }
    all->words = (uint64_t *)memory;
    all->inside = (uint8_t *)(all->words + all->pixels);
    return TOGETHER * each + (size_t)all->pixels * (sizeof *all->words + 1);
}

TARGET static void NAME(filter_tiles_item)(void *context, ptrdiff_t part)
{
    NAME(filters_work) *work = context;
    const hb_conv *s = work->sums.size;
    ptrdiff_t padded = work->sums.padded, per_picture = work->sums.blocks * work->x_blocks;
    NAME(tile_blocks) all;
    char *memory = hb_scratch(NAME(lay_out)(work, &all, NULL));
    if (memory == NULL) {
        work->sums.failed = 1;
        return;
    }
    NAME(lay_out)(work, &all, memory);
    float *sums = work->sums.sums + part * work->sums.terms * padded;
    NAME(use_tiles)();
    ptrdiff_t blocks = s->batch * per_picture, last = blocks * (part + 1) / work->sums.parts;
    for (ptrdiff_t first = blocks * part / work->sums.parts; first < last; first += TOGETHER) {
        all.count = MIN(TOGETHER, last - first);
        for (ptrdiff_t k = first; k < first + all.count; k++) {
            NAME(tile_block) *b = &all.block[k - first];
            ptrdiff_t n = k / per_picture, y0 = k % per_picture / work->x_blocks * work->sums.rows;
            ptrdiff_t x0 = k % work->x_blocks * work->cols;
            b->g.rows = MIN(work->sums.rows, s->out_h - y0);
            b->g.in_rows = b->g.rows + s->kernel_h - 1;
            NAME(fill_sign_tiles)(work, &all, b, n, y0, x0);
            NAME(fill_bytes)(work, &b->g, n, y0, x0, MIN(work->cols, s->out_w - x0));
            NAME(pad_bytes)(&b->g, padded);
        }
        int two_steps = all.block[0].g.panel_quads > TILE_QUADS;
        for (ptrdiff_t o = 0; o < padded; o += PANEL)
            if (!two_steps)
                NAME(filter_panel)(2, 1, work, &all, o, sums);
            else if (s->filters - o > LANES)
                NAME(filter_panel)(2, 2, work, &all, o, sums);
            else
                NAME(filter_panel)(1, 2, work, &all, o, sums);
    }
    LEAVE_TILES();
}
