/* -------------------------------------------------------------------------------------------------- bits
 *
 * A sign is a bit, 1 for -1. Channel c of a pixel is bit c % 32 of its word c / 32; bits beyond the last channel are 0.
 * Of n products of signs, those where the bits differ are -1: their sum is n - 2 (number of bits that differ).
 *
 * Filters lie in groups of eight, word by word, so that a word of the picture meets eight filters at once:
 *
 *     differing[k] += bits set in (x[i] xor w[8 i + k])     for i = 0 ... words - 1
 *
 * HB_PATH says how they are counted, all with the same result: "32" and "64" add up fields of bits in words of so many
 * bits, "popcount" asks the compiler, "avx2" and "neon" count in registers.
 */
#define HB_PATH_32 1
#define HB_PATH_64 2
#define HB_PATH_POPCOUNT 3
#define HB_PATH_AVX2 4
#define HB_PATH_NEON 5
#ifndef HB_PATH
#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512VL__)
#define HB_PATH HB_PATH_POPCOUNT /* which compilers then do for eight words at once */
#elif defined(__AVX2__)
#define HB_PATH HB_PATH_AVX2
#elif defined(__ARM_NEON)
#define HB_PATH HB_PATH_NEON
#elif defined(__POPCNT__) || defined(__riscv_zbb)
#define HB_PATH HB_PATH_POPCOUNT
#elif UINTPTR_MAX > 0xFFFFFFFFu
#define HB_PATH HB_PATH_64
#else
#define HB_PATH HB_PATH_32
#endif
#endif

#if HB_PATH == HB_PATH_32 || HB_PATH == HB_PATH_POPCOUNT
#define HB_FIELDS uint32_t
#elif HB_PATH == HB_PATH_64
#define HB_FIELDS uint64_t
#endif

#if HB_PATH == HB_PATH_AVX2
#include <immintrin.h>
#elif HB_PATH == HB_PATH_NEON
#include <arm_neon.h>
#elif HB_PATH == HB_PATH_POPCOUNT
static uint32_t bits_set(uint32_t v)
{
    return (uint32_t)__builtin_popcount(v);
}
#else
/* Of each 32 bits, how many are set: -1 / 3 is 0101... in bits, -1 / 5 is 0011..., and so on. */
static HB_FIELDS bits_set(HB_FIELDS v)
{
    const HB_FIELDS all = (HB_FIELDS)-1;
    v = v - (v >> 1 & all / 3);
    v = (v & all / 5) + (v >> 2 & all / 5);
    v = (v + (v >> 4)) & all / 17;
    v = (v + (v >> 8)) & all / 257;
    return (v + (v >> 16)) & all / 65537;
}
#endif

static void count_eight(uint32_t *differing, const uint32_t *x, const uint32_t *w, int32_t words)
{
#if HB_PATH == HB_PATH_AVX2
    const __m256i of_nibble = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1,
                                               2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i sum = _mm256_loadu_si256((const __m256i *)(void *)differing);
    for (int32_t i = 0; i < words; i++, w += GROUP) {
        __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)w), _mm256_set1_epi32((int)x[i]));
        __m256i bytes = _mm256_add_epi8(_mm256_shuffle_epi8(of_nibble, _mm256_and_si256(v, low)),
                                        _mm256_shuffle_epi8(of_nibble, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
        __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    _mm256_storeu_si256((__m256i *)(void *)differing, sum);
#elif HB_PATH == HB_PATH_NEON
    for (int32_t k = 0; k < GROUP; k += 4) {
        uint32x4_t sum = vld1q_u32(differing + k);
        for (int32_t i = 0; i < words; i++) {
            uint8x16_t bytes = vcntq_u8(vreinterpretq_u8_u32(veorq_u32(vld1q_u32(w + GROUP * i + k), vdupq_n_u32(x[i]))));
            sum = vpadalq_u16(sum, vpaddlq_u8(bytes));
        }
        vst1q_u32(differing + k, sum);
    }
#else
    enum { FIELDS = GROUP * sizeof(uint32_t) / sizeof(HB_FIELDS) };
    HB_FIELDS sum[FIELDS], v[FIELDS];
    memcpy(sum, differing, sizeof sum);
    for (int32_t i = 0; i < words; i++, w += GROUP) {
        const HB_FIELDS same = (HB_FIELDS)-1 / 0xFFFFFFFFu * x[i]; /* the word, as often as it fits */
        memcpy(v, w, sizeof v);
        for (uint32_t k = 0; k < FIELDS; k++)
            sum[k] += bits_set(same ^ v[k]);
    }
    memcpy(differing, sum, sizeof sum);
#endif
}

