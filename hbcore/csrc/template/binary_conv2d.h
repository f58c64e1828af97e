/* Binary convolutions by exclusive or and counting; a part of template.h.
 *
 * A product of two signs is -1 where their bits differ, else +1; n signs inside the picture, zeros around it:
 *
 *     y[p, o] = sum over t of  sign(x)[p + t] sign(W)[t, o] = n - 2 popcount(x[p + t] xor w[t, o])
 *
 * Filters side by side: a word of the picture meets two registers of filters, LANES in all. A tile is PIXELS pixels in a
 * row that have the same taps inside the picture, so that filters are loaded once for all of them.
 *
 *   PIXELS      of a tile
 *   EVEN_LANES  0, 2, 4, ...: LANES of them
 *   add_counts(n, v)  adds the bits set in v to counters, which can take WAIT words before
 *   sum_counts(n)     must empty them: the sum of the counters in each word
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

/* Words of the picture: the first of the first pixel, and how far it is to the next word, pixel and kernel row. */
typedef struct {
    const uint64_t *first;
    ptrdiff_t word, pixel, row;
} NAME(field);

/* Kernel rows i0 ... i1 - 1 of `run` words, of which k0 ... k1 - 1 count. */
INLINE void NAME(binary_tile)(const int pixels, const int kind, const NAME(binary_work) *work, const uint64_t *panels,
                              ptrdiff_t run, NAME(field) x, ptrdiff_t pixel, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t k0,
                              ptrdiff_t k1, ptrdiff_t bits)
{
    const hb_epilogue *end = work->end;
    ptrdiff_t filters = work->size->filters, panel_words = work->size->kernel_h * run * LANES;
    ptrdiff_t count = k1 - k0, skipped = (run - count) * LANES;
    const uint64_t *first = x.first + i0 * x.row + k0 * x.word, *panel = panels + (i0 * run + k0) * LANES;
    uint64_t gathered[PIXELS] = {0};
    for (ptrdiff_t o = 0; o < filters; o += LANES, panel += panel_words) {
        const uint64_t *row = first, *w = panel;
        vw differing[PIXELS][2] = {0}, counters[PIXELS][2] = {0};
        int waiting = 0;
        for (ptrdiff_t i = i0; i < i1; i++, row += x.row, w += skipped) {
            const uint64_t *word = row;
            for (ptrdiff_t k = 0; k < count; k++, w += LANES, word += x.word) {
                vw w0 = *(const vw *)w, w1 = *(const vw *)(w + WORDS);
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++) {
                    vw a = (vw){0} + word[p * x.pixel];
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

/* out[p] = 64 of the bits that the taps of output p have in a row, from `bit` on. */
INLINE void NAME(pack_word)(const hb_conv *s, uint64_t *out, const uint64_t *x, ptrdiff_t begin, ptrdiff_t end,
                            ptrdiff_t bit)
{
    ptrdiff_t j0 = bit / s->channels, j1 = MIN(s->kernel_w, (bit + 63) / s->channels + 1), p = begin;
    for (; s->stride == 1 && p + WORDS <= end; p += WORDS) {
        vw word = {0};
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            vw tap = *(const vw *)(x + p + j);
            word |= up < 0 ? tap >> (uint64_t)-up : tap << (uint64_t)up;
        }
        *(vw *)(out + p) = word;
    }
    for (; p < end; p++) {
        out[p] = 0;
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            uint64_t tap = x[p * s->stride + j];
            out[p] |= up < 0 ? tap >> -up : tap << up;
        }
    }
}

/* A row of outputs' neighbourhoods with packed taps, for those that lie inside the picture in x: (kH, words, out_w). */
TARGET static uint64_t *NAME(pack_taps)(const NAME(binary_work) *work, const uint64_t *x, ptrdiff_t i0, ptrdiff_t i1)
{
    const hb_conv *s = work->size;
    ptrdiff_t words = hb_packed_words(s->kernel_w, s->channels);
    uint64_t *rows = hb_scratch((size_t)(s->kernel_h * s->out_w * words) * sizeof(uint64_t));
    if (rows == NULL)
        return NULL;
    ptrdiff_t begin = (s->pad_w + s->stride - 1) / s->stride;
    ptrdiff_t end = s->width + s->pad_w < s->kernel_w ? 0 : (s->width + s->pad_w - s->kernel_w) / s->stride + 1;
    for (ptrdiff_t i = i0; i < i1; i++)
        for (ptrdiff_t k = 0; k < words; k++)
            NAME(pack_word)(s, rows + (i * words + k) * s->out_w, x + i * s->width - s->pad_w, begin, end, 64 * k);
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
        int within = left >= 0 && left + s->kernel_w <= s->width;
        int whole = within && ox + PIXELS <= s->out_w && last + s->kernel_w <= s->width;
        if (within && packed != NULL) {
            NAME(field) x = {packed + ox, s->out_w, 1, s->out_w * packed_run};
            NAME(binary_tiles)(whole, kind, work, work->filters->packed, packed_run, x, pixel, i0, i1, 0, packed_run, bits);
        } else {
            NAME(field) x = {line + left * words, 1, s->stride * words, s->width * words};
            NAME(binary_tiles)(whole, kind, work, work->filters->words, run, x, pixel, i0, i1, j0 * words, j1 * words, bits);
        }
        ox += whole ? PIXELS : 1;
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
