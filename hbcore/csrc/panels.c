#include "panels.h"

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

/* From so many filters on, looking up is faster; and its sums have 16 bits. */
enum { TABLE_LEAST = 24, TABLE_MOST = 65535 };

int hb_make_filters(hb_filters *made, const hb_kernels *kernels, const hb_conv *s, const uint64_t *w)
{
    ptrdiff_t taps = s->kernel_h * s->kernel_w;
    *made = (hb_filters){NULL, NULL, NULL};
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
}

uint8_t *hb_sign_panels(const float *w, ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t padded = (channels + width - 1) / width * width, quads = (filters + 3) / 4;
    uint8_t *panels = aligned((size_t)(padded * taps * quads * 4)), *p = panels;
    for (ptrdiff_t first = 0; p != NULL && first < channels; first += width)
        for (ptrdiff_t t = taps - 1; t >= 0; t--)
            for (ptrdiff_t o = 0; o < filters; o += 4)
                for (ptrdiff_t c = first; c < first + width; c++)
                    for (ptrdiff_t k = o; k < o + 4; k++)
                        *p++ = c < channels && k < filters && !(w[(t * channels + c) * filters + k] < 0.0f) ? 2 : 0;
    return panels;
}
