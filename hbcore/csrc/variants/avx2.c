/* AVX2 and FMA: Intel since Haswell (2013), AMD since Excavator (2015). */
#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#define NAME_TEXT "avx2"
#define LANES 8
#define PIXELS 4
#define LANE_NUMBERS 0, 1, 2, 3, 4, 5, 6, 7
#define ROWS 6
#define FMA(a, b, c) ((vf)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define MASK(v) ((uint32_t)_mm256_movemask_ps((__m256)(v)))
#define BYTE_ROWS 4
#define PART vs
#define MULTIPLY_ADD(sum, u, s) ((sum) + (vs)_mm256_maddubs_epi16((__m256i)(u), (__m256i)(s)))
#define WIDEN(v) ((vi)_mm256_madd_epi16((__m256i)(v), _mm256_set1_epi16(1)))
#define LOOK_UP(t, b) ((vt)_mm256_shuffle_epi8((__m256i)(t), (__m256i)(b)))
#define TABLE(p) ((vt)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p))))
#define STORE_BYTES(out, v) (store_bytes(out, (__m256i)(v)))

#define WAIT 31 /* counters are bytes: 31 * 8 < 256 */

static inline __attribute__((always_inline)) TARGET void store_bytes(void *out, __m256i v)
{
    __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)out, _mm_packs_epi16(pairs, pairs));
}

typedef uint32_t words __attribute__((vector_size(32)));

/* Each half byte looks its count up in a table of sixteen. */
static inline __attribute__((always_inline)) TARGET words add_counts(words n, words v)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    __m256i low = _mm256_and_si256((__m256i)v, half), high = _mm256_and_si256(_mm256_srli_epi16((__m256i)v, 4), half);
    __m256i counts = _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
    return (words)_mm256_add_epi8((__m256i)n, counts);
}

static inline __attribute__((always_inline)) TARGET words sum_counts(words n)
{
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)n, _mm256_set1_epi8(1));
    return (words)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#include "../template.h"

#endif
