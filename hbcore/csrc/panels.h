/* Filters as the kernels want them: `width` of them side by side, term by term.
 *
 * (terms, filters) -> (filters / width, terms, width), with zeros after the last filter; 64-byte aligned, to be freed;
 * NULL if memory ran out.
 */
#ifndef HBCORE_PANELS_H
#define HBCORE_PANELS_H

#include <stddef.h>
#include <stdint.h>

float *hb_float_panels(const float *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width);
uint64_t *hb_word_panels(const uint64_t *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width);

#endif
