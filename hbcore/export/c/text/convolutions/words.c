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
 * bits, "popcount" asks the compiler, "avx2", "avx512", "neon" and "wasm" count in registers.
 */
#define HB_PATH_32 1
#define HB_PATH_64 2
#define HB_PATH_POPCOUNT 3
#define HB_PATH_AVX2 4
#define HB_PATH_NEON 5
#define HB_PATH_AVX512 6
#define HB_PATH_WASM 7
#ifndef HB_PATH
#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512VL__)
#define HB_PATH HB_PATH_AVX512
#elif defined(__AVX2__)
#define HB_PATH HB_PATH_AVX2
#elif defined(__ARM_NEON)
#define HB_PATH HB_PATH_NEON
#elif defined(__wasm_simd128__)
#define HB_PATH HB_PATH_WASM
#elif defined(__POPCNT__) || defined(__riscv_zbb)
#define HB_PATH HB_PATH_POPCOUNT
#elif UINTPTR_MAX > 0xFFFFFFFFu
#define HB_PATH HB_PATH_64
#else
#define HB_PATH HB_PATH_32
#endif
#endif

#if HB_PATH == HB_PATH_64
typedef uint64_t fields;
#else
typedef uint32_t fields;
#endif

enum { MOST_WORDS = 31 }; /* that are counted in bytes, 8 at most from each, before these are added up */

/* differing[k] += what it says above, for `runs` runs of words, with so many words from one to the next; together at most
 * MOST_WORDS. */
static inline void count_eight(uint32_t *differing, const uint32_t *x, int32_t x_line, const uint32_t *w, int32_t w_line,
                               int32_t runs, int32_t run)
{
#if HB_PATH == HB_PATH_AVX512
    __m256i sum = _mm256_loadu_si256((const __m256i *)(void *)differing);
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(w + r * GROUP));
            v = _mm256_xor_si256(v, _mm256_set1_epi32((int)x[r]));
            sum = _mm256_add_epi32(sum, _mm256_popcnt_epi32(v));
        }
    _mm256_storeu_si256((__m256i *)(void *)differing, sum);
#elif HB_PATH == HB_PATH_AVX2
    const __m256i of_nibble = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1,
                                               2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i bytes = _mm256_setzero_si256(), *sum = (__m256i *)(void *)differing;
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(w + r * GROUP));
            v = _mm256_xor_si256(v, _mm256_set1_epi32((int)x[r]));
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
            bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(of_nibble, _mm256_and_si256(v, low)));
            bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(of_nibble, high));
        }
    bytes = _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
    _mm256_storeu_si256(sum, _mm256_add_epi32(_mm256_loadu_si256(sum), bytes));
#elif HB_PATH == HB_PATH_NEON
    uint8x16_t first = vdupq_n_u8(0), second = first;
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++) {
            uint32x4_t word = vdupq_n_u32(x[r]);
            first = vaddq_u8(first, vcntq_u8(vreinterpretq_u8_u32(veorq_u32(vld1q_u32(w + r * GROUP), word))));
            second = vaddq_u8(second, vcntq_u8(vreinterpretq_u8_u32(veorq_u32(vld1q_u32(w + r * GROUP + 4), word))));
        }
    vst1q_u32(differing, vpadalq_u16(vld1q_u32(differing), vpaddlq_u8(first)));
    vst1q_u32(differing + 4, vpadalq_u16(vld1q_u32(differing + 4), vpaddlq_u8(second)));
#elif HB_PATH == HB_PATH_WASM
    v128_t first = wasm_i32x4_const_splat(0), second = first;
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++) {
            const v128_t word = wasm_i32x4_splat((int32_t)x[r]), *filters = (const v128_t *)(const void *)(w + r * GROUP);
            first = wasm_i8x16_add(first, wasm_i8x16_popcnt(wasm_v128_xor(wasm_v128_load(filters), word)));
            second = wasm_i8x16_add(second, wasm_i8x16_popcnt(wasm_v128_xor(wasm_v128_load(filters + 1), word)));
        }
    first = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(first));
    second = wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(second));
    wasm_v128_store(differing, wasm_i32x4_add(wasm_v128_load(differing), first));
    wasm_v128_store(differing + 4, wasm_i32x4_add(wasm_v128_load(differing + 4), second));
#elif HB_PATH == HB_PATH_POPCOUNT
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++)
            for (int32_t k = 0; k < GROUP; k++)
                differing[k] += (uint32_t)__builtin_popcount(x[r] ^ w[r * GROUP + k]);
#else
    enum { FIELDS = GROUP * sizeof(uint32_t) / sizeof(fields) };
    const fields all = (fields)-1; /* all / 3 is 0101... in bits, all / 5 is 00110011..., and so on */
    fields sum[FIELDS], bytes[FIELDS] = {0}, v[FIELDS];
    for (int32_t i = 0; i < runs; i++, x += x_line, w += w_line * GROUP)
        for (int32_t r = 0; r < run; r++) {
            const fields same = all / 0xFFFFFFFFu * x[r]; /* the word, as often as it fits */
            memcpy(v, w + r * GROUP, sizeof v);
            for (uint32_t k = 0; k < FIELDS; k++) {
                fields u = same ^ v[k];
                u = u - (u >> 1 & all / 3);
                u = (u & all / 5) + (u >> 2 & all / 5);
                bytes[k] += (u + (u >> 4)) & all / 17;
            }
        }
    memcpy(sum, differing, sizeof sum);
    for (uint32_t k = 0; k < FIELDS; k++) {
        fields pairs = (bytes[k] & all / 257) + (bytes[k] >> 8 & all / 257);
        sum[k] += (pairs + (pairs >> 16)) & all / 65537;
    }
    memcpy(differing, sum, sizeof sum);
#endif
}

