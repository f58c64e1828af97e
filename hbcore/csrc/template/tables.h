/* Binary convolutions by looking counts up; a part of template.h for instruction sets that look bytes up but cannot count.
 *
 * Four signs of the picture, a nibble a, choose a table T[a] of sixteen bytes, T[a][b] = bits in a xor b. Looked up at
 * the same four signs of 4 LANES filters, it gives their counts: two instructions, look-up and addition, for what takes
 * eight when every register is xored and counted.
 *
 *   LOOK_UP(t, b)  t[b] for every byte b, with a table in each 128 bits
 *   TABLE(p)       the sixteen bytes at p, in each 128 bits
 *
 * Filters lie in panels of 4 LANES: byte 4 l + m of a register belongs to filter LANES m + l, so that the counts of LANES
 * filters in a row are one byte of every int32 lane.
 */
enum { FULL = 63, TABLE_PIXELS = 6, TABLE_FILTERS = 4 * LANES }; /* FULL * 4 < 2^8 */

typedef uint8_t vt __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef uint8_t sixteen __attribute__((vector_size(16)));
typedef uint64_t pair __attribute__((vector_size(16)));

/* T: 16 bytes for each nibble, where a nibble is kept times 16. */
static const uint8_t NAME(counts)[256] = {
#define ROW(a) BITS4(a ^ 0), BITS4(a ^ 1), BITS4(a ^ 2), BITS4(a ^ 3), BITS4(a ^ 4), BITS4(a ^ 5), BITS4(a ^ 6), \
               BITS4(a ^ 7), BITS4(a ^ 8), BITS4(a ^ 9), BITS4(a ^ 10), BITS4(a ^ 11), BITS4(a ^ 12), BITS4(a ^ 13), \
               BITS4(a ^ 14), BITS4(a ^ 15)
#define BITS4(v) (((v) & 1) + ((v) >> 1 & 1) + ((v) >> 2 & 1) + ((v) >> 3 & 1))
    ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7),
    ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15),
#undef ROW
#undef BITS4
};

/* Nibbles of kernel rows i0 ... i1 - 1 under one row of outputs, (i1 - i0, width, nibbles), times 16. */
TARGET static uint8_t *NAME(fill_nibbles)(const hb_conv *s, const uint64_t *line, ptrdiff_t i0, ptrdiff_t i1)
{
    ptrdiff_t words = (s->channels + 63) / 64, nibbles = (s->channels + 3) / 4;
    uint8_t *rows = hb_scratch((size_t)((i1 - i0) * s->width * nibbles + 16)), *out = rows;
    if (rows == NULL)
        return NULL;
    for (ptrdiff_t p = i0 * s->width; p < i1 * s->width; p++, out += nibbles)
        for (ptrdiff_t word = 0; word < words; word++) {
            uint64_t bits = line[p * words + word], low = bits << 4 & 0xF0F0F0F0F0F0F0F0u, high = bits & 0xF0F0F0F0F0F0F0F0u;
            sixteen a = (sixteen)(pair){low, 0}, b = (sixteen)(pair){high, 0};
#ifdef __clang__
            a = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#else
            a = __builtin_shuffle(a, b, (sixteen){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
#endif
            memcpy(out + 16 * word, &a, sizeof a); /* perhaps past the pixel's end, where the next one follows */
        }
    return rows;
}

/* Counts of bytes, in pairs: bytes 0 and 2 of every lane, bytes 1 and 3. */
INLINE void NAME(empty)(vt *counts, vu *even, vu *odd)
{
    *even += (vu)*counts & 0x00FF00FFu; /* no 16 bits overflow into the next: there are at most 2^16 - 1 signs */
    *odd += (vu)*counts >> 8 & 0x00FF00FFu;
    *counts = (vt){0};
}

INLINE void NAME(table_tile)(const int pixels, const int panels, const int kind, const hb_epilogue *end,
                             ptrdiff_t filters, ptrdiff_t o, const uint8_t *nibbles, ptrdiff_t step, ptrdiff_t row,
                             const uint8_t *panel, ptrdiff_t panel_bytes, ptrdiff_t panel_row, ptrdiff_t rows,
                             ptrdiff_t run, ptrdiff_t pixel, ptrdiff_t bits, uint64_t *gathered)
{
    vt counts[TABLE_PIXELS][2];
    vu even[TABLE_PIXELS][2], odd[TABLE_PIXELS][2];
    for (int p = 0; p < pixels; p++)
        for (int h = 0; h < panels; h++) {
            counts[p][h] = (vt){0};
            even[p][h] = odd[p][h] = (vu){0};
        }
    ptrdiff_t room = FULL;
    for (ptrdiff_t i = 0; i < rows; i++, nibbles += row, panel += panel_row)
        for (ptrdiff_t k = 0; k < run;) {
            ptrdiff_t stop = MIN(run, k + room);
            room -= stop - k;
            for (; k < stop; k++) {
                vt w0 = *(const vt *)(panel + k * TABLE_FILTERS), w1 = {0};
                if (panels == 2)
                    w1 = *(const vt *)(panel + panel_bytes + k * TABLE_FILTERS);
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++) {
                    vt table = TABLE(NAME(counts) + nibbles[p * step + k]);
                    counts[p][0] += LOOK_UP(table, w0);
                    if (panels == 2)
                        counts[p][1] += LOOK_UP(table, w1);
                }
            }
            if (room == 0) {
                room = FULL;
                for (int p = 0; p < pixels; p++)
                    for (int h = 0; h < panels; h++)
                        NAME(empty)(&counts[p][h], &even[p][h], &odd[p][h]);
            }
        }
    for (int p = 0; p < pixels; p++)
        for (int h = 0; h < panels; h++) {
            NAME(empty)(&counts[p][h], &even[p][h], &odd[p][h]);
            const vu differing[4] = {even[p][h] & 0xFFFF, odd[p][h] & 0xFFFF, even[p][h] >> 16, odd[p][h] >> 16};
            for (int m = 0; m < 4; m++) {
                ptrdiff_t f = o + h * TABLE_FILTERS + m * LANES;
                if (f < filters)
                    NAME(finish)(kind, end, __builtin_convertvector((int32_t)bits - 2 * (vi)differing[m], vf), pixel + p,
                                 f, filters, &gathered[p]);
            }
        }
}

/* One row of outputs. */
TARGET static void NAME(table_item)(void *context, ptrdiff_t item)
{
    NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    const hb_epilogue *end = work->end;
    ptrdiff_t n = item / s->out_h, oy = item % s->out_h, words = (s->channels + 63) / 64, nibbles = (s->channels + 3) / 4;
    ptrdiff_t top = oy * s->stride - s->pad_h, i0 = MAX(0, -top), i1 = MAX(i0, MIN(s->kernel_h, s->height - top));
    uint8_t *rows = NAME(fill_nibbles)(s, work->x + (n * s->height + top) * s->width * words, i0, i1);
    if (rows == NULL) {
        work->failed = 1;
        return;
    }
    ptrdiff_t panel_row = s->kernel_w * nibbles * TABLE_FILTERS, panel_bytes = s->kernel_h * panel_row;
    int kind = NAME(kind)(end, s->filters);
    for (ptrdiff_t ox = 0; ox < s->out_w;) {
        ptrdiff_t left = ox * s->stride - s->pad_w, last = left + (TABLE_PIXELS - 1) * s->stride;
        ptrdiff_t j0 = MAX(0, -left), j1 = MAX(j0, MIN(s->kernel_w, s->width - left));
        ptrdiff_t bits = (i1 - i0) * (j1 - j0) * s->channels, pixel = item * s->out_w + ox;
        int whole = left >= 0 && ox + TABLE_PIXELS <= s->out_w && last + s->kernel_w <= s->width;
        const uint8_t *first = rows + (left + j0) * nibbles;
        const uint8_t *panel = work->filters->nibbles + i0 * panel_row + j0 * nibbles * TABLE_FILTERS;
        uint64_t gathered[TABLE_PIXELS] = {0};
#define TILE(pixels, panels, kind) \
    NAME(table_tile)(pixels, panels, kind, end, s->filters, o, first, s->stride * nibbles, s->width * nibbles, \
                     panel + o / TABLE_FILTERS * panel_bytes, panel_bytes, panel_row, i1 - i0, (j1 - j0) * nibbles, \
                     pixel, bits, gathered)
#define KINDS(panels) \
    do { \
        if (kind == ALPHA) \
            TILE(TABLE_PIXELS, panels, ALPHA); \
        else if (kind == (ALPHA | SKIP)) \
            TILE(TABLE_PIXELS, panels, ALPHA | SKIP); \
        else if (kind == (ALPHA | SKIP | BITS)) \
            TILE(TABLE_PIXELS, panels, ALPHA | SKIP | BITS); \
        else \
            TILE(TABLE_PIXELS, panels, ANY); \
    } while (0)
        for (ptrdiff_t o = 0; o < s->filters; o += 2 * TABLE_FILTERS) {
            int two = s->filters - o > TABLE_FILTERS;
            if (!whole && two)
                TILE(1, 2, ANY);
            else if (!whole)
                TILE(1, 1, ANY);
            else if (two)
                KINDS(2);
            else
                KINDS(1);
        }
#undef KINDS
#undef TILE
        ox += whole ? TABLE_PIXELS : 1;
    }
}
