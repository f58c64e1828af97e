/* What a vector is with AVX-512: LANES and the rest of what template.h wants, but for TARGET and NAME. */
#include <immintrin.h>
#include <stdint.h>

/* GCC halves vectors of 512 bits unless told; Clang does not, and ignores all of a TARGET that says so. */
#ifdef __clang__
#define WHOLE_REGISTERS
#else
#define WHOLE_REGISTERS ",prefer-vector-width=512"
#endif

#define LANES 16
#define PIXELS 8
#define LANE_NUMBERS 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define ROWS 12
#define FMA(a, b, c) ((vf)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define MASK(v) ((uint32_t)_mm512_movepi32_mask((__m512i)(v)))
#define HALF(v, upper) \
    ((vd)_mm512_cvtps_pd(upper ? _mm512_extractf32x8_ps((__m512)(v), 1) : _mm512_castps512_ps256((__m512)(v))))
#define HALF_AT(p, bits, upper) \
    ((vd)_mm512_maskz_cvtps_pd((__mmask8)((bits) >> 8 * (upper)), _mm256_loadu_ps((p) + 8 * (upper))))
#define LOAD_SOME(p, n) ((vf)_mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), p))
#define STORE_SOME(p, v, n) (_mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), (__m512)(v)))
#define BYTE_ROWS 8
#define PART vi
#define MULTIPLY_ADD(sum, u, s) ((vi)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(u), (__m512i)(s)))
#define WIDEN(v) (v)
#define STORE_BYTES(out, v) (store_bytes(out, (__m512i)(v)))
#define WAIT 0 /* counters are whole lanes: they never fill */

static inline __attribute__((always_inline)) TARGET void store_bytes(void *out, __m512i v)
{
    _mm_storeu_si128((__m128i *)out, _mm512_cvtepi32_epi8(v));
}

typedef uint32_t words __attribute__((vector_size(64)));

static inline __attribute__((always_inline)) TARGET words add_counts(words n, words v)
{
    return n + (words)_mm512_popcnt_epi32((__m512i)v);
}

static inline __attribute__((always_inline)) TARGET words sum_counts(words n)
{
    return n;
}
