#include "panels.h"

#include <stdlib.h>
#include <string.h>

static void *aligned(size_t bytes)
{
    return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

float *hb_float_panels(const float *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t padded = (filters + width - 1) / width * width;
    float *panels = aligned((size_t)(padded * terms) * sizeof *panels), *p = panels;
    for (ptrdiff_t o = 0; p != NULL && o < filters; o += width)
        for (ptrdiff_t t = 0; t < terms; t++)
            for (ptrdiff_t k = o; k < o + width; k++)
                *p++ = k < filters ? w[t * filters + k] : 0.0f;
    return panels;
}

uint64_t *hb_word_panels(const uint64_t *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width)
{
    ptrdiff_t padded = (filters + width - 1) / width * width;
    uint64_t *panels = aligned((size_t)(padded * terms) * sizeof *panels), *p = panels;
    for (ptrdiff_t o = 0; p != NULL && o < filters; o += width)
        for (ptrdiff_t t = 0; t < terms; t++)
            for (ptrdiff_t k = o; k < o + width; k++)
                *p++ = k < filters ? w[t * filters + k] : 0;
    return panels;
}

uint64_t *hb_packed_panels(const uint64_t *w, ptrdiff_t kernel_h, ptrdiff_t kernel_w, ptrdiff_t channels,
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
        panels = hb_word_panels(rows, kernel_h * words, filters, width);
    }
    free(rows);
    return panels;
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
