/* Binary convolutions by exclusive or and counting; a part of template.h.
 *
 * A product of two signs is -1 where their bits differ, else +1; n signs inside the picture, zeros around it:
 *
 *     y[p, o] = sum over t of  sign(x)[p + t] sign(W)[t, o] = n - 2 popcount(x[p + t] xor w[t, o])
 *
 * Filters side by side: 32 bits of the picture meet the same bits of LANES filters. A tile is PIXELS outputs in a row, so
 * that filters are loaded once for all of them. Where the picture ends its row goes on with bits of 0, as if there were
 * signs of +1: the sum of the filter's signs there is taken off again.
 *
 *   PIXELS            of a tile, WORDS or more
 *   add_counts(n, v)  adds the bits set in v to counters, which can take WAIT registers (0: any number of them) before
 *   sum_counts(n)     must empty them: the sum of the counters in each lane
 */
enum { MOST_ROWS = 4 }; /* in a band */

typedef uint32_t word __attribute__((may_alias)); /* half of 64 bits in memory, the lower one first */

typedef struct {
    const hb_conv *size;
    const uint64_t *x;
    const hb_filters *filters;
    const hb_epilogue *end;
    ptrdiff_t band; /* rows of outputs in an item */
    int failed;
} NAME(binary_work);

/* A row of outputs: kernel rows i0 ... i1 - 1 lie inside the picture. `run` words of the taps of the first output in the
 * first of them begin at `first`, and so far it is to the next word, output and kernel row. Outputs have numbers from
 * `pixel` on. */
typedef struct {
    ptrdiff_t i0, i1;
    const word *first;
    ptrdiff_t run, word, output, row;
    ptrdiff_t pixel;
} NAME(line);

/* The sum of the signs of filters o ... o + LANES - 1 in those taps of an output that lie left or right of the picture. */
INLINE vi NAME(signs_outside)(const NAME(binary_work) *work, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t left, ptrdiff_t o)
{
    const hb_conv *s = work->size;
    ptrdiff_t padded = (s->filters + LANES - 1) / LANES * LANES;
    vi sum = {0};
    for (ptrdiff_t j = 0; j < s->kernel_w; j++)
        for (ptrdiff_t i = i0; (left + j < 0 || left + j >= s->width) && i < i1; i++)
            sum += *(const vi *)(work->filters->sums + (i * s->kernel_w + j) * padded + o);
    return sum;
}

/* Outputs ox ... ox + PIXELS - 1, as far as there are so many. */
INLINE void NAME(binary_tile)(const int kind, const NAME(binary_work) *work, NAME(line) line, ptrdiff_t ox)
{
    const hb_conv *s = work->size;
    ptrdiff_t left = ox * s->stride - s->pad_w, rows = line.i1 - line.i0, panel_words = s->kernel_h * line.run * LANES;
    int inside = left >= 0 && left + (PIXELS - 1) * s->stride + s->kernel_w <= s->width;
    int32_t bits = (int32_t)(rows * s->kernel_w * s->channels);
    const uint32_t *panel = work->filters->words + line.i0 * line.run * LANES;
    uint64_t gathered[PIXELS] = {0};
    for (ptrdiff_t o = 0; o < s->filters; o += LANES, panel += panel_words) {
        const word *row = line.first + ox * line.output;
        const uint32_t *w = panel;
        vu differing[PIXELS] = {0}, counters[PIXELS] = {0};
        int waiting = 0;
        for (ptrdiff_t i = 0; i < rows; i++, row += line.row) {
            const word *x = row;
            for (ptrdiff_t k = 0; k < line.run; k++, w += LANES, x += line.word) {
                vu filter = *(const vu *)w;
#pragma GCC unroll 8
                for (int p = 0; p < PIXELS; p++)
                    counters[p] = add_counts(counters[p], filter ^ x[p * line.output]);
                if (WAIT && ++waiting == WAIT) {
                    waiting = 0;
                    for (int p = 0; p < PIXELS; p++) {
                        differing[p] += sum_counts(counters[p]);
                        counters[p] = (vu){0};
                    }
                }
            }
        }
        vi sums[PIXELS];
        for (int p = 0; p < PIXELS; p++)
            sums[p] = bits - 2 * (vi)(differing[p] + sum_counts(counters[p]));
        if (!inside) {
#pragma GCC unroll 8
            for (int p = 0; p < PIXELS; p++) {
                ptrdiff_t from = left + p * s->stride;
                if (from < 0 || from + s->kernel_w > s->width)
                    sums[p] -= NAME(signs_outside)(work, line.i0, line.i1, from, o);
            }
        }
#pragma GCC unroll 8
        for (int p = 0; p < PIXELS; p++)
            if (ox + p < s->out_w)
                NAME(finish)(kind, work->end, __builtin_convertvector(sums[p], vf), line.pixel + ox + p, o, s->filters,
                             &gathered[p]);
    }
}

/* out[p] = 32 of the bits that the taps of output p have in a row, from `bit` on. */
INLINE void NAME(pack_word)(const hb_conv *s, word *out, const uint64_t *x, ptrdiff_t bit)
{
    ptrdiff_t j0 = bit / s->channels, j1 = MIN(s->kernel_w, (bit + 31) / s->channels + 1);
    for (ptrdiff_t p = 0; s->stride == 1 && p < s->out_w; p += WORDS) {
        vw bits = {0};
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            vw tap = *(const vw *)(x + p + j);
            bits |= up < 0 ? tap >> (uint64_t)-up : tap << (uint64_t)up;
        }
        half_words lower = __builtin_convertvector(bits, half_words);
        memcpy(out + p, &lower, sizeof lower);
    }
    for (ptrdiff_t p = 0; s->stride > 1 && p < s->out_w; p++) {
        uint64_t bits = 0;
        for (ptrdiff_t j = j0; j < j1; j++) {
            ptrdiff_t up = j * s->channels - bit;
            uint64_t tap = x[p * s->stride + j];
            bits |= up < 0 ? tap >> -up : tap << up;
        }
        out[p] = (uint32_t)bits;
    }
}

/* A row of the picture, `length` words of 64 bits with the zeros around it. */
INLINE void NAME(pad_row)(const hb_conv *s, uint64_t *row, ptrdiff_t length, const uint64_t *x)
{
    ptrdiff_t words = (s->channels + 63) / 64, before = s->pad_w * words, count = s->width * words;
    memset(row, 0, (size_t)before * sizeof *row);
    memcpy(row + before, x, (size_t)count * sizeof *row);
    memset(row + before + count, 0, (size_t)(length - before - count) * sizeof *row);
}

/* A band of rows of outputs: they share the rows of the picture, once these are brought into memory of their own. */
TARGET static void NAME(binary_item)(void *context, ptrdiff_t item)
{
    NAME(binary_work) *work = context;
    const hb_conv *s = work->size;
    ptrdiff_t bands = (s->out_h + work->band - 1) / work->band, n = item / bands, words = (s->channels + 63) / 64;
    ptrdiff_t y0 = item % bands * work->band, y1 = MIN(y0 + work->band, s->out_h), outputs = s->out_w + PIXELS;
    ptrdiff_t first = MAX(0, y0 * s->stride - s->pad_h);
    ptrdiff_t last = MAX(first, MIN(s->height, (y1 - 1) * s->stride - s->pad_h + s->kernel_h));
    /* A tile may reach so far beyond the last output. */
    ptrdiff_t length = (MAX(s->width + 2 * s->pad_w, s->out_w * s->stride + s->kernel_w) + PIXELS * s->stride) * words;
    int packed = s->channels < 64, kind = NAME(kind)(work->end, s->filters);
    NAME(line) line = {.run = hb_row_words(s->kernel_w, s->channels), .word = 1, .output = 2 * s->stride * words,
                       .row = 2 * length};
    if (packed)
        line.word = outputs, line.output = 1, line.row = line.run * outputs;
    ptrdiff_t spare = packed ? 2 * length : 0;
    word *memory = hb_scratch((size_t)(spare + (last - first) * line.row) * sizeof *memory), *rows = memory + spare;
    if (memory == NULL) {
        work->failed = 1;
        return;
    }
    for (ptrdiff_t y = first; y < last; y++) {
        word *to = rows + (y - first) * line.row;
        uint64_t *row = (uint64_t *)(packed ? memory : to);
        NAME(pad_row)(s, row, length, work->x + (n * s->height + y) * s->width * words);
        for (ptrdiff_t k = 0; packed && k < line.run; k++)
            NAME(pack_word)(s, to + k * outputs, row, 32 * k);
    }
    for (ptrdiff_t oy = y0; oy < y1; oy++) {
        ptrdiff_t top = oy * s->stride - s->pad_h;
        line.i0 = MAX(0, -top), line.i1 = MAX(line.i0, MIN(s->kernel_h, s->height - top));
        line.first = rows + (top + line.i0 - first) * line.row;
        line.pixel = (n * s->out_h + oy) * s->out_w;
#define TILES(kind) \
    for (ptrdiff_t ox = 0; ox < s->out_w; ox += PIXELS) \
        NAME(binary_tile)(kind, work, line, ox)
        if (kind == ALPHA)
            TILES(ALPHA);
        else if (kind == (ALPHA | SKIP))
            TILES(ALPHA | SKIP);
        else if (kind == (ALPHA | SKIP | BITS))
            TILES(ALPHA | SKIP | BITS);
        else
            TILES(ANY);
#undef TILES
    }
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
