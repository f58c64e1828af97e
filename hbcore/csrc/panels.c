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
