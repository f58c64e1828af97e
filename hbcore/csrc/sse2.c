/* SSE2: every x86-64 there is. No popcnt: bits are counted by arithmetic on whole registers. */
#if defined(__x86_64__) && defined(__GNUC__)

#include <emmintrin.h>
#include <stdint.h>
#include <stdlib.h>

#define TARGET
#define NAME(x) x##_sse2
#define NAME_TEXT "sse2"
#define LANES 4
#define PIXELS 2
#define EVEN_LANES 0, 2, 4, 6
#define ROWS 6
#define FMA(a, b, c) ((a) * (b) + (c))
#define MASK(v) ((uint32_t)_mm_movemask_ps((__m128)(v)))
#define WAIT 31 /* counters are bytes: 31 * 8 < 256 */

typedef uint64_t words __attribute__((vector_size(16)));

/* Pairs of bits, fours, bytes. */
static inline __attribute__((always_inline)) words add_counts(words n, words v)
{
    v -= (v >> 1) & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return n + v; /* no byte overflows into the next */
}

static inline __attribute__((always_inline)) words sum_counts(words n)
{
    return (words)_mm_sad_epu8((__m128i)n, _mm_setzero_si128());
}

#include "template.h"

#endif
