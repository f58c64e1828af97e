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
static DEFINE_PANELS(word_panels, uint64_t)

/* NULL where nothing is saved, or memory ran out: it is only faster. */
static uint64_t *packed_panels(const uint64_t *w, ptrdiff_t kernel_h, ptrdiff_t kernel_w, ptrdiff_t channels,
                           ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t words = hb_packed_words(kernel_w, channels);
    if (channels > 64 || words >= kernel_w)
        return NULL;
    uint64_t *rows = calloc((size_t)(kernel_h * words * filters), sizeof *rows), *panels = NULL;
    if (rows != NULL) {
        for (ptrdiff_t i = 0; i < kernel_h; i++)
            for (ptrdiff_t j = 0; j < kernel_w; j++)
                for (ptrdiff_t o = 0; o < filters; o++) {
                    ptrdiff_t at = j * channels, up = at % 64;
                    uint64_t *row = rows + (i * words + at / 64) * filters + o, tap = w[(i * kernel_w + j) * filters + o];
                    row[0] |= tap << up;
                    if (up + channels > 64)
                        row[filters] |= tap >> (64 - up);
                }
        panels = word_panels(rows, kernel_h * words, filters, width);
    }
    free(rows);
    return panels;
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
    made->words = word_panels(w, taps * ((s->channels + 63) / 64), s->filters, kernels->lanes);
    made->packed = packed_panels(w, s->kernel_h, s->kernel_w, s->channels, s->filters, kernels->lanes);
    return made->words == NULL ? -1 : 0;
}

void hb_free_filters(hb_filters *made)
{
    free(made->words);
    free(made->packed);
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
