/* Filters as the kernels want them: `width` of them side by side, term by term.
 *
 * (terms, filters) -> (filters / width, terms, width), with zeros after the last filter; 64-byte aligned, to be freed;
 * NULL if memory ran out.
 */
#ifndef HBCORE_PANELS_H
#define HBCORE_PANELS_H

#include "kernels.h"

float *hb_float_panels(const float *w, ptrdiff_t terms, ptrdiff_t filters, ptrdiff_t width);

/* Packed filters (kH, kW, words, O) in the form that is fastest for these kernels and sizes: see hb_filters. Returns 0, or
 * -1 where memory ran out.
 *
 * Few channels leave most of their word empty: below 64 of them, the taps of a kernel row share words. */
int hb_make_filters(hb_filters *made, const hb_kernels *kernels, const hb_conv *size, const uint64_t *w);
void hb_free_filters(hb_filters *made);

/* 1 + signs of filters (kH, kW, C, O) as the gradient of the signs wants them: taps in reverse order, channels side by
 * side, four filters in each: (channels / width, kH kW, filters / 4, width, 4); zeros where there is none. */
uint8_t *hb_sign_panels(const float *w, ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters, ptrdiff_t width);

/* Bits from one tap of a kernel row to the next. */
static inline ptrdiff_t hb_tap_bits(ptrdiff_t channels)
{
    return channels < 64 ? channels : (channels + 63) / 64 * 64;
}

/* Words, of 32 bits, of a kernel row. */
static inline ptrdiff_t hb_row_words(ptrdiff_t kernel_w, ptrdiff_t channels)
{
    return (kernel_w * hb_tap_bits(channels) + 31) / 32;
}

#endif
