/* The gradient of the signs in tiles: what gradients/signs.h does, to the bit; a part of template.h.
 *
 * 32 pixels of the block, borders and all, meet the filters of a panel: four tiles of sums for each tap and each MOST_QUADS
 * filters of the layer, since every pixel has its own unit. Tiles are stored until HELD such sums wait; vectors then add
 * them in order. Where the filters of the layer are no multiple of 64, and so few that storing tiles would take as long as
 * the products, gradients/signs.h does the work.
 */
enum { HELD = 3, TILE_PIXELS = 2 * TILE_ROWS };

typedef struct {
    float sums[TILE_PIXELS][PANEL];
    int32_t held[HELD][TILE_PIXELS][PANEL];
    const float *units[HELD];
} NAME(waiting_tiles);

INLINE void NAME(add_waiting)(const int halves, NAME(waiting_tiles) *w, ptrdiff_t count)
{
    for (ptrdiff_t m = 0; m < TILE_PIXELS; m++) {
        vf sum[2];
        for (int h = 0; h < halves; h++)
            sum[h] = load(w->sums[m] + h * LANES);
        for (ptrdiff_t t = 0; t < count; t++)
            for (int h = 0; h < halves; h++)
                sum[h] = FMA(broadcast(w->units[t][m]),
                             __builtin_convertvector(*(const vi *)(w->held[t][m] + h * LANES), vf), sum[h]);
        for (int h = 0; h < halves; h++)
            store(w->sums[m] + h * LANES, sum[h]);
    }
}

/* Products of one tap, of filters from quad `begin` on, into tiles 0 to 3. */
INLINE void NAME(multiply_tiles)(const int halves, const int8_t *bytes, ptrdiff_t step, const uint8_t *panel,
                                 ptrdiff_t quads)
{
    TILE_ZERO(0);
    TILE_ZERO(2);
    if (halves == 2) {
        TILE_ZERO(1);
        TILE_ZERO(3);
    }
    for (ptrdiff_t k = 0; k < quads; k += TILE_QUADS, bytes += TILE_BYTES, panel += TILE_QUADS * 4 * PANEL) {
        TILE_LOAD(6, panel, 4 * PANEL);
        TILE_LOAD(4, bytes, step);
        TILE_MULTIPLY_SU(0, 4, 6);
        TILE_LOAD(5, bytes + TILE_ROWS * step, step);
        TILE_MULTIPLY_SU(2, 5, 6);
        if (halves == 2) {
            TILE_LOAD(7, panel + 4 * LANES, 4 * PANEL);
            TILE_MULTIPLY_SU(1, 4, 7);
            TILE_MULTIPLY_SU(3, 5, 7);
        }
    }
}

/* Pixels at ... at + 31 of the block, the filters of a panel from c on. */
INLINE void NAME(sign_tiles)(const int halves, NAME(waiting_tiles) *w, const NAME(signs_work) *work,
                             const NAME(byte_block) *b, const uint8_t *panel, ptrdiff_t at, ptrdiff_t first,
                             ptrdiff_t c, ptrdiff_t rows)
{
    const hb_conv *s = work->size;
    const ptrdiff_t line = sizeof w->held[0][0];
    ptrdiff_t waiting = 0, step = 4 * b->quads;
    /* Results that miss the cache would keep the tiles, which are stored after them, from being read. */
    float *to = work->end.y + (first + at / b->width * s->out_w + MIN(s->out_w, at % b->width)) * s->filters + c;
    for (ptrdiff_t m = 0; m < TILE_PIXELS; m++)
        for (int h = 0; h < halves; h++)
            __builtin_prefetch(to + m * s->filters + h * LANES, 1);
    for (ptrdiff_t m = 0; m < TILE_PIXELS; m++)
        for (int h = 0; h < halves; h++)
            store(w->sums[m] + h * LANES, -broadcast(b->pull[at + m]));
    for (ptrdiff_t i = 0; i < s->kernel_h; i++)
        for (ptrdiff_t j = 0; j < s->kernel_w; j++) {
            ptrdiff_t pixel = at + i * b->width + j;
            for (ptrdiff_t begin = 0; begin < b->quads; begin += MOST_QUADS) {
                ptrdiff_t quads = MIN(MOST_QUADS, b->quads - begin);
                if (waiting == HELD) {
                    NAME(add_waiting)(halves, w, HELD);
                    waiting = 0;
                }
                NAME(multiply_tiles)(halves, b->bytes + pixel * step + 4 * begin, step, panel, quads);
                panel += quads * 4 * PANEL;
                TILE_STORE(0, w->held[waiting][0], line);
                TILE_STORE(2, w->held[waiting][TILE_ROWS], line);
                if (halves == 2) {
                    TILE_STORE(1, w->held[waiting][0] + LANES, line);
                    TILE_STORE(3, w->held[waiting][TILE_ROWS] + LANES, line);
                }
                w->units[waiting++] = b->unit + pixel;
            }
        }
    NAME(add_waiting)(halves, w, waiting);
    for (ptrdiff_t m = 0, y = at / b->width, x = at % b->width; m < TILE_PIXELS; m++, x++) {
        if (x == b->width) {
            x = 0;
            y++;
        }
        if (x < s->out_w && y < rows)
            for (int h = 0; h < halves; h++) {
                uint64_t none = 0;
                NAME(finish)(s->filters % LANES == 0 ? 0 : ANY, &work->end, load(w->sums[m] + h * LANES),
                             first + y * s->out_w + x, c + h * LANES, s->filters, &none);
            }
    }
}

/* All rows of the block, whose outputs have numbers from `first` on. */
TARGET static void NAME(signs_by_tiles)(const NAME(signs_work) *work, const NAME(byte_block) *b, ptrdiff_t first,
                                        ptrdiff_t rows)
{
    const hb_conv *s = work->size;
    _Alignas(64) NAME(waiting_tiles) waiting;
    ptrdiff_t panel_bytes = s->kernel_h * s->kernel_w * b->quads * 4 * PANEL;
    ptrdiff_t pixels = (rows - 1) * b->width + s->out_w;
    NAME(use_tiles)();
    for (ptrdiff_t c = 0; c < s->filters; c += PANEL) {
        const uint8_t *panel = work->panels + c / PANEL * panel_bytes;
        for (ptrdiff_t at = 0; at < pixels; at += TILE_PIXELS)
            if (s->filters - c > LANES)
                NAME(sign_tiles)(2, &waiting, work, b, panel, at, first, c, rows);
            else
                NAME(sign_tiles)(1, &waiting, work, b, panel, at, first, c, rows);
    }
    LEAVE_TILES();
}
