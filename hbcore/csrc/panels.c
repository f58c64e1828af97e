#include "panels.h"

#include "pool.h"

#include <stdlib.h>
#include <string.h>

static void *aligned(size_t bytes)
{
    return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

/* One text for both types of numbers. */
#define DEFINE_PANELS(name, type) \
    type *name(const type *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width) \
    { \
        ptrdiff_t padded = (filters + width - 1) / width * width; \
        type *panels = aligned((size_t)(padded * terms) * sizeof *panels), *p = panels; \
        for (ptrdiff_t o = 0; p != NULL && o < filters; o += width) \
            for (ptrdiff_t t = 0; t < terms; t++) \
                for (ptrdiff_t k = o; k < o + width; k++) \
                    *p++ = k < filters ? w[t * filters + k] : 0; \
        return panels; \
    }
DEFINE_PANELS(hb_float_panels, float)
static DEFINE_PANELS(panels_of_words, uint32_t)

/* (filters / width, kH, words of a kernel row, width) */
static uint32_t *word_panels(const hb_conv *s, const uint64_t *w, ptrdiff_t width)
{
    ptrdiff_t taps = s->kernel_h * s->kernel_w, words = (s->channels + 63) / 64, run = hb_row_words(s->kernel_w, s->channels);
    uint32_t *rows = calloc((size_t)(s->kernel_h * run * s->filters), sizeof *rows);
    if (rows == NULL)
        return NULL;
    for (ptrdiff_t t = 0; t < taps; t++)
        for (ptrdiff_t c = 0; c < s->channels; c += 32) {
            const uint64_t *from = w + (t * words + c / 64) * s->filters;
            ptrdiff_t at = t % s->kernel_w * hb_tap_bits(s->channels) + c, left = s->channels - c;
            uint64_t used = left < 32 ? (1u << left) - 1 : UINT32_MAX; /* whatever a caller has behind them */
            uint32_t *to = rows + (t / s->kernel_w * run + at / 32) * s->filters;
            for (ptrdiff_t o = 0; o < s->filters; o++) {
                uint64_t bits = (from[o] >> c % 64 & used) << at % 32;
                to[o] |= (uint32_t)bits;
                if (bits >> 32)
                    to[o + s->filters] |= (uint32_t)(bits >> 32);
            }
        }
    uint32_t *panels = panels_of_words(rows, s->kernel_h * run, s->filters, width);
    free(rows);
    return panels;
}

static int32_t bits_set(uint64_t v)
{
    v -= (v >> 1) & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return (int32_t)(v * 0x0101010101010101u >> 56);
}

/* Sums of signs: (taps, filters padded to a multiple of width). */
static int32_t *sums_of_taps(const hb_conv *s, const uint64_t *w, ptrdiff_t width)
{
    ptrdiff_t taps = s->kernel_h * s->kernel_w, words = (s->channels + 63) / 64;
    ptrdiff_t padded = (s->filters + width - 1) / width * width;
    int32_t *sums = calloc((size_t)(taps * padded), sizeof *sums);
    for (ptrdiff_t t = 0; sums != NULL && t < taps; t++)
        for (ptrdiff_t o = 0; o < s->filters; o++) {
            sums[t * padded + o] = (int32_t)s->channels;
            for (ptrdiff_t k = 0; k < words; k++)
                sums[t * padded + o] -= 2 * bits_set(w[(t * words + k) * s->filters + o]);
        }
    return sums;
}

/* (filters / width, taps, nibbles, width): byte 4 l + m of a panel is filter m width / 4 + l. */
static uint8_t *nibble_panels(const uint64_t *w, ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t padded = (filters + width - 1) / width * width, nibbles = (channels + 3) / 4, words = (channels + 63) / 64;
    uint8_t *panels = aligned((size_t)(padded * taps * nibbles)), *p = panels;
    for (ptrdiff_t first = 0; p != NULL && first < filters; first += width)
        for (ptrdiff_t t = 0; t < taps; t++)
            for (ptrdiff_t k = 0; k < nibbles; k++) {
                const uint64_t *row = w + (t * words + k / 16) * filters;
                for (ptrdiff_t l = 0; l < width / 4; l++)
                    for (ptrdiff_t o = first + l; o < first + width; o += width / 4)
                        *p++ = o < filters ? (uint8_t)(row[o] >> 4 * (k % 16) & 15) : 0;
            }
    return panels;
}

enum { TILE_FILTERS = 16, TILE_QUADS = 16 };

/* (filters / 16, kH, bytes of a kernel row / 64, 16 times 4 bytes of each filter): +1 and -1, and 0 where there is none. */
static int8_t *tile_panels(const hb_conv *s, const uint64_t *w)
{
    ptrdiff_t words = (s->channels + 63) / 64, quads = (s->channels + 3) / 4, quad = 4 * TILE_FILTERS;
    ptrdiff_t row = (s->kernel_w * quads + TILE_QUADS - 1) / TILE_QUADS * TILE_QUADS * quad, panel = s->kernel_h * row;
    size_t bytes = (size_t)((s->filters + TILE_FILTERS - 1) / TILE_FILTERS * panel);
    int8_t *panels = aligned(bytes), signs[2][16][4]; /* of four bits: of whole quads, and of the last one */
    if (panels == NULL)
        return NULL;
    memset(panels, 0, bytes);
    for (int bits = 0; bits < 16; bits++)
        for (int c = 0; c < 4; c++) {
            signs[0][bits][c] = bits >> c & 1 ? -1 : 1;
            signs[1][bits][c] = 4 * (quads - 1) + c < s->channels ? signs[0][bits][c] : 0;
        }
    for (ptrdiff_t t = 0; t < s->kernel_h * s->kernel_w; t++)
        for (ptrdiff_t q = 0; q < quads; q++) {
            const uint64_t *bits = w + (t * words + q / 16) * s->filters;
            int8_t *to = panels + t / s->kernel_w * row + (t % s->kernel_w * quads + q) * quad;
            for (ptrdiff_t o = 0; o < s->filters; o++)
                memcpy(to + o / TILE_FILTERS * panel + o % TILE_FILTERS * 4,
                       signs[q == quads - 1][bits[o] >> 4 * (q % 16) & 15], 4);
        }
    return panels;
}

/* n - v in each of four bytes, v up to 127. */
static uint32_t bytes_less(uint32_t n, uint32_t v)
{
    return (0x80808080u + 0x01010101u * n - v) ^ 0x80808080u; /* the upper bit is there to be borrowed from */
}

/* (filters / 16, 4, kH, channels / 64, 16 times 4 bytes of each filter): what the four kinds of operands in
 * template/tiles/pairs.h meet, 2 g0, g0 + g1 + g2, g0 - g1 + g2 and 2 g2 for the taps 1 - 2 bit of a kernel row. */
static int8_t *pair_panels(const hb_conv *s, const uint64_t *w)
{
    ptrdiff_t words = s->channels / 64, row = s->channels * TILE_FILTERS, kind = s->kernel_h * row;
    size_t bytes = (size_t)((s->filters + TILE_FILTERS - 1) / TILE_FILTERS * 4 * kind);
    int8_t *panels = aligned(bytes);
    uint32_t spread[16]; /* bits in bytes of their own */
    if (panels == NULL)
        return NULL;
    memset(panels, 0, bytes);
    for (uint32_t bits = 0; bits < 16; bits++)
        spread[bits] = (bits * 0x00204081u) & 0x01010101u;
    for (ptrdiff_t t = 0; t < s->kernel_h * words * 16; t++) {
        ptrdiff_t i = t / (words * 16), quad = t % (words * 16);
        const uint64_t *tap[3];
        for (ptrdiff_t j = 0; j < 3; j++)
            tap[j] = w + ((i * 3 + j) * words + quad / 16) * s->filters;
        for (ptrdiff_t o = 0; o < s->filters; o++) {
            uint32_t b0 = spread[tap[0][o] >> 4 * (quad % 16) & 15], b1 = spread[tap[1][o] >> 4 * (quad % 16) & 15],
                     b2 = spread[tap[2][o] >> 4 * (quad % 16) & 15];
            uint32_t met[4] = {bytes_less(2, 4 * b0), bytes_less(3, 2 * (b0 + b1 + b2)),
                               bytes_less(3, 2 * (b0 + b2 + (0x01010101u - b1))), bytes_less(2, 4 * b2)};
            int8_t *to = panels + o / TILE_FILTERS * 4 * kind + i * row + (quad * TILE_FILTERS + o % TILE_FILTERS) * 4;
            for (int k = 0; k < 4; k++)
                memcpy(to + k * kind, &met[k], sizeof met[k]);
        }
    }
    return panels;
}

/* From so many filters on, looking up is faster; and its sums have 16 bits. */
enum { TABLE_LEAST = 24, TABLE_MOST = 65535 };

/* Tiles are faster where each output is a sum of so many products, of so many filters, and where there are so many outputs:
 * for fewer, filters of eight times the bytes take too long to come. */
enum { TILES_PRODUCTS = 288, TILES_LEAST = 24, TILES_OUTPUTS = 256 };

static int suits_tiles(const hb_conv *s)
{
    return s->stride == 1 && s->filters >= TILES_LEAST && s->batch * s->out_h * s->out_w >= TILES_OUTPUTS
        && s->kernel_h * s->kernel_w * s->channels >= TILES_PRODUCTS;
}

/* In pairs where that many channels are worth the sums of their own, four for two outputs. */
enum { PAIRS_CHANNELS = 128 };

static int suits_pairs(const hb_conv *s)
{
    return s->kernel_w == 3 && s->channels >= PAIRS_CHANNELS && s->channels % 64 == 0;
}

int hb_make_filters(hb_filters *made, const hb_kernels *kernels, const hb_conv *s, const uint64_t *w)
{
    ptrdiff_t taps = s->kernel_h * s->kernel_w;
    *made = (hb_filters){NULL, NULL, NULL, NULL, NULL};
    if (kernels->tiles && suits_tiles(s) && suits_pairs(s)) {
        made->pairs = pair_panels(s, w);
        return made->pairs == NULL ? -1 : 0;
    }
    if (kernels->tiles && suits_tiles(s)) {
        made->tiles = tile_panels(s, w);
        return made->tiles == NULL ? -1 : 0;
    }
    if (kernels->tables && s->filters >= TABLE_LEAST && taps * s->channels <= TABLE_MOST) {
        made->nibbles = nibble_panels(w, taps, s->channels, s->filters, 4 * kernels->lanes);
        return made->nibbles == NULL ? -1 : 0;
    }
    made->words = word_panels(s, w, kernels->lanes);
    made->sums = sums_of_taps(s, w, kernels->lanes);
    return made->words == NULL || made->sums == NULL ? -1 : 0;
}

void hb_free_filters(hb_filters *made)
{
    free(made->words);
    free(made->sums);
    free(made->nibbles);
    free(made->tiles);
    free(made->pairs);
}

typedef struct {
    const float *w;
    ptrdiff_t taps, channels, filters, width;
    uint8_t *panels;
} sign_panels;

/* One tap of one panel. */
static void fill_sign_panel(void *context, ptrdiff_t item)
{
    const sign_panels *s = context;
    ptrdiff_t first = item / s->taps * s->width, t = s->taps - 1 - item % s->taps;
    uint8_t *p = s->panels + item * ((s->filters + 3) / 4) * s->width * 4;
    for (ptrdiff_t o = 0; o < s->filters; o += 4)
        for (ptrdiff_t c = first; c < first + s->width; c++)
            for (ptrdiff_t k = o; k < o + 4; k++)
                *p++ = c < s->channels && k < s->filters && !(s->w[(t * s->channels + c) * s->filters + k] < 0.0f) ? 2 : 0;
}

uint8_t *hb_sign_panels(const float *w, ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t count = (channels + width - 1) / width, quads = (filters + 3) / 4;
    sign_panels work = {w, taps, channels, filters, width, aligned((size_t)(count * width * taps * quads * 4))};
    if (work.panels != NULL)
        hb_run(fill_sign_panel, &work, count * taps);
    return work.panels;
}
