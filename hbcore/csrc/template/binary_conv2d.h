/* Binary convolutions by exclusive or and counting; a part of template.h.
 *
 * A product of two signs is -1 where their bits differ, else +1; n signs inside the picture, zeros around it:
 *
 *     y[p, o] = sum over t of  sign(x)[p + t] sign(W)[t, o] = n - 2 popcount(x[p + t] xor w[t, o])
 *
 * Filters side by side: 32 bits of the picture meet the same bits of LANES filters. A tile is PIXELS outputs in a row that
 * have the same taps inside the picture, so that filters are loaded once for all of them.
 *
 *   PIXELS            of a tile
 *   add_counts(n, v)  adds the bits set in v to counters, which can take WAIT registers (0: any number of them) before
 *   sum_counts(n)     must empty them: the sum of the counters in each lane
 */
typedef struct {
    const hb_conv *size;
    const uint64_t *x;
    const hb_filters *filters;
    const hb_epilogue *end;
    int failed;
} NAME(binary_work);

typedef uint32_t word __attribute__((may_alias)); /* half of 64 bits in memory, the lower one first */

/* What a row of outputs meets: words of the picture, those of the first output at `first`, and how far it is to the next
 * word, output and kernel row; filters in panels, `run` words in a kernel row. Of them kernel rows i0 ... i1 - 1 and words
 * k0 ... k1 - 1 count, which hold `bits` signs. */
typedef struct {
    const word *first;
    ptrdiff_t word, output, row;
    const uint32_t *panels;
    ptrdiff_t run, i0, i1, k0, k1, bits;
} NAME(taps);

/* Outputs from number `at` on, which is `pixel` of all; the first `known` of them are not stored. */
INLINE void NAME(binary_tile)(const int pixels, const int kind, const NAME(binary_work) *work, const NAME(taps) *t,
                              ptrdiff_t at, ptrdiff_t pixel, ptrdiff_t known)
{
    ptrdiff_t filters = work->size->filters, panel_words = work->size->kernel_h * t->run * LANES;
    ptrdiff_t count = t->k1 - t->k0, skipped = (t->run - count) * LANES;
    const word *first = t->first + at * t->output + t->i0 * t->row + t->k0 * t->word;
    const uint32_t *panel = t->panels + (t->i0 * t->run + t->k0) * LANES;
    uint64_t gathered[PIXELS] = {0};
    for (ptrdiff_t o = 0; o < filters; o += LANES, panel += panel_words) {
        const word *row = first;
        const uint32_t *w = panel;
        vu differing[PIXELS] = {0}, counters[PIXELS] = {0};
        int waiting = 0;
        for (ptrdiff_t i = t->i0; i < t->i1; i++, row += t->row, w += skipped) {
            const word *x = row;
            for (ptrdiff_t k = 0; k < count; k++, w += LANES, x += t->word) {
                vu filter = *(const vu *)w;
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++)
                    counters[p] = add_counts(counters[p], filter ^ x[p * t->output]);
                if (WAIT && ++waiting == WAIT) {
                    waiting = 0;
                    for (int p = 0; p < pixels; p++) {
                        differing[p] += sum_counts(counters[p]);
                        counters[p] = (vu){0};
                    }
                }
            }
        }
#pragma GCC unroll 8
        for (int p = 0; p < pixels; p++) {
            vi sums = (int32_t)t->bits - 2 * (vi)(differing[p] + sum_counts(counters[p]));
            if (p >= known)
                NAME(finish)(kind, work->end, __builtin_convertvector(sums, vf), pixel + p, o, filters, &gathered[p]);
        }
    }
}

/* Outputs begin ... end - 1 of a row, at least PIXELS; row[0] is `pixel`. The last tile begins early enough to be whole. */
INLINE void NAME(binary_line)(const int kind, const NAME(binary_work) *work, const NAME(taps) *t, ptrdiff_t begin,
                              ptrdiff_t end, ptrdiff_t pixel)
{
    for (ptrdiff_t ox = begin; ox < end; ox += PIXELS) {
        ptrdiff_t at = MIN(ox, end - PIXELS);
        NAME(binary_tile)(PIXELS, kind, work, t, at, pixel + at, ox - at);
    }
}

/* out[p] = 32 of the bits that the taps of output p have in a row, from `bit` on. */
INLINE void NAME(pack_word)(const hb_conv *s, uint32_t *out, const uint64_t *x, ptrdiff_t begin, ptrdiff_t end,
                            ptrdiff_t bit)
{
    ptrdiff_t j0 = bit / s->channels, j1 = MIN(s->kernel_w, (bit + 31) / s->channels + 1), p = begin;
    for (; s->stride == 1 && p + WORDS <= end; p += WORDS) {
        vw bits = {0};
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            vw tap = *(const vw *)(x + p + j);
            bits |= up < 0 ? tap >> (uint64_t)-up : tap << (uint64_t)up;
        }
        half_words lower = __builtin_convertvector(bits, half_words);
        memcpy(out + p, &lower, sizeof lower);
    }
    for (; p < end; p++) {
        uint64_t bits = 0;
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            uint64_t tap = x[p * s->stride + j];
            bits |= up < 0 ? tap >> -up : tap << up;
        }
        out[p] = (uint32_t)bits;
    }
}

/* Rows of outputs' neighbourhoods with packed taps, for outputs begin ... end - 1: (kH, words, out_w). */
TARGET static uint32_t *NAME(pack_taps)(const hb_conv *s, const uint64_t *x, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t begin,
                                        ptrdiff_t end)
{
    ptrdiff_t words = hb_packed_words(s->kernel_w, s->channels);
    uint32_t *rows = hb_scratch((size_t)(s->kernel_h * s->out_w * words) * sizeof *rows);
    for (ptrdiff_t i = i0; rows != NULL && i < i1; i++)
        for (ptrdiff_t k = 0; k < words; k++)
            NAME(pack_word)(s, rows + (i * words + k) * s->out_w, x + i * s->width - s->pad_w, begin, end, 32 * k);
    return rows;
}

TARGET static void NAME(binary_item)(void *context, ptrdiff_t item)
{
    const NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t n = item / s->out_h, oy = item % s->out_h, words = (s->channels + 63) / 64, pixel = item * s->out_w;
    ptrdiff_t top = oy * s->stride - s->pad_h;
    ptrdiff_t i0 = MAX(0, -top), i1 = MAX(i0, MIN(s->kernel_h, s->height - top));
    const uint64_t *line = work->x + (n * s->height + top) * s->width * words;
    /* Outputs whose taps are all inside the picture, from left to right. */
    ptrdiff_t begin = (s->pad_w + s->stride - 1) / s->stride;
    ptrdiff_t end = s->width + s->pad_w < s->kernel_w ? 0 : (s->width + s->pad_w - s->kernel_w) / s->stride + 1;
    ptrdiff_t run = s->kernel_w * words * 2;
    NAME(taps) t = {(const word *)(line - s->pad_w * words), 1, s->stride * words * 2, s->width * words * 2,
                    work->filters->words, run, i0, i1, 0, run, 0};
    for (ptrdiff_t ox = 0; ox < s->out_w; ox++) {
        if (ox == begin && end - begin >= PIXELS) {
            ox = end - 1;
            continue;
        }
        ptrdiff_t left = ox * s->stride - s->pad_w, j0 = MAX(0, -left), j1 = MAX(j0, MIN(s->kernel_w, s->width - left));
        /* Taps outside the picture contribute 0: they are not there. */
        t.k0 = j0 * words * 2, t.k1 = j1 * words * 2, t.bits = (i1 - i0) * (j1 - j0) * s->channels;
        NAME(binary_tile)(1, ANY, work, &t, ox, pixel + ox, 0);
    }
    if (end - begin < PIXELS)
        return;
    t.k0 = 0, t.k1 = run, t.bits = (i1 - i0) * s->kernel_w * s->channels;
    const uint32_t *packed = work->filters->packed == NULL ? NULL : NAME(pack_taps)(s, line, i0, i1, begin, end);
    if (packed != NULL) {
        ptrdiff_t few = hb_packed_words(s->kernel_w, s->channels);
        t = (NAME(taps)){packed, s->out_w, 1, s->out_w * few, work->filters->packed, few, i0, i1, 0, few, t.bits};
    }
    switch (NAME(kind)(work->end, s->filters)) {
    case ALPHA: NAME(binary_line)(ALPHA, work, &t, begin, end, pixel); break;
    case ALPHA | SKIP: NAME(binary_line)(ALPHA | SKIP, work, &t, begin, end, pixel); break;
    case ALPHA | SKIP | BITS: NAME(binary_line)(ALPHA | SKIP | BITS, work, &t, begin, end, pixel); break;
    default: NAME(binary_line)(ANY, work, &t, begin, end, pixel);
    }
}

#ifdef LOOK_UP
TARGET static void NAME(table_item)(void *context, ptrdiff_t item); /* tables.h */
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

/* The ceiling: counting in registers, without memory. */
TARGET static uint64_t NAME(count_rounds)(ptrdiff_t rounds)
{
    vu counters[8] = {{0}}, filters[8], total = {0}, picture = (vu){0} + 0x9E3779B9u;
    for (int i = 0; i < 8; i++)
        filters[i] = picture * (uint32_t)(2 * i + 1);
    int waiting = 0;
    for (ptrdiff_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            counters[i] = add_counts(counters[i], picture ^ filters[i]);
        picture += 1; /* nothing can be counted ahead of time */
        if (WAIT && ++waiting == WAIT) {
            waiting = 0;
            for (int i = 0; i < 8; i++) {
                total += sum_counts(counters[i]);
                counters[i] = (vu){0};
            }
        }
    }
    for (int i = 0; i < 8; i++)
        total += sum_counts(counters[i]);
    return total[0];
}
