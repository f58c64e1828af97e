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

/* Few channels leave most of their word empty. Where it saves words, the taps of each kernel row (kH, kW, O, one word
 * each) share them: tap j begins at bit j C of kH rows of hb_packed_words words, in panels. NULL where nothing is saved
 * (or memory ran out: it is only faster). */
uint64_t *hb_packed_panels(const uint64_t *w, ptrdiff_t kernel_h, ptrdiff_t kernel_w, ptrdiff_t channels,
                           ptrdiff_t filters, ptrdiff_t width);

/* 1 + signs of filters (kH, kW, C, O) as the gradient of the signs wants them: taps in reverse order, channels side by
 * side, four filters in each: (channels / width, kH kW, filters / 4, width, 4); zeros where there is none. */
uint8_t *hb_sign_panels(const float *w, ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters, ptrdiff_t width);

/* Words of a kernel row with packed taps. */
static inline ptrdiff_t hb_packed_words(ptrdiff_t kernel_w, ptrdiff_t channels)
{
    return (kernel_w * channels + 63) / 64;
}

#endif
