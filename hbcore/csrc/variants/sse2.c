/* SSE2: every x86-64 there is. No popcnt: bits are counted by arithmetic on whole registers. */
#if defined(__x86_64__) && defined(__GNUC__)

#include <emmintrin.h>
#include <stdint.h>

#define TARGET
#define NAME(x) x##_sse2
#define NAME_TEXT "sse2"
#define LANES 4
#define PIXELS 2
#define LANE_NUMBERS 0, 1, 2, 3
#define ROWS 6
#define FMA(a, b, c) ((a) * (b) + (c))
#define MASK(v) ((uint32_t)_mm_movemask_ps((__m128)(v)))
#define BYTE_ROWS 4
#define PART vs
#define MULTIPLY_ADD(sum, u, s) ((sum) + (vs)multiply_bytes((__m128i)(u), (__m128i)(s)))
#define WIDEN(v) ((vi)_mm_madd_epi16((__m128i)(v), _mm_set1_epi16(1)))
#define STORE_BYTES(out, v) (store_bytes(out, (__m128i)(v)))
#define WAIT 31 /* counters are bytes: 31 * 8 < 256 */

/* Even bytes and odd bytes as int16, multiplied, added. */
static inline __attribute__((always_inline)) __m128i multiply_bytes(__m128i u, __m128i s)
{
    __m128i even = _mm_mullo_epi16(_mm_and_si128(u, _mm_set1_epi16(255)), _mm_srai_epi16(_mm_slli_epi16(s, 8), 8));
    return _mm_add_epi16(even, _mm_mullo_epi16(_mm_srli_epi16(u, 8), _mm_srai_epi16(s, 8)));
}

static inline __attribute__((always_inline)) void store_bytes(void *out, __m128i v)
{
    __m128i pairs = _mm_packs_epi32(v, v);
    _mm_storeu_si32(out, _mm_packs_epi16(pairs, pairs));
}

typedef uint32_t words __attribute__((vector_size(16)));

/* Pairs of bits, fours, bytes. */
static inline __attribute__((always_inline)) words add_counts(words n, words v)
{
    v -= (v >> 1) & 0x55555555u;
    v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
    v = (v + (v >> 4)) & 0x0F0F0F0Fu;
    return n + v; /* no byte overflows into the next */
}

static inline __attribute__((always_inline)) words sum_counts(words n)
{
    n = (n & 0x00FF00FFu) + ((n >> 8) & 0x00FF00FFu);
    return (words)_mm_madd_epi16((__m128i)n, _mm_set1_epi16(1));
}

#include "../template.h"

#endif
