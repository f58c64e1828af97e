/* AVX-512 as in avx512.c, and tiles (AMX): Intel since Sapphire Rapids (2023). */
#include <stddef.h>

#include "tiles.h"

#if HB_TILES

#define TARGET \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vpopcntdq,avx512vnni,avx512vbmi,prfchw,avx2,fma" WHOLE_REGISTERS)))
#define NAME(x) x##_amx
#define NAME_TEXT "amx"
#define BY_TILES

#include "avx512.h"

/* 64 words, one of each pixel; `inside`: a byte of each. Row c of `out`, of 64 bytes, becomes `inside` in the pixels whose
 * bit c is 0, and 0 in the others. */
static inline __attribute__((always_inline)) TARGET void bytes_of_bits(uint8_t *out, ptrdiff_t step, const uint64_t *words,
                                                                       const uint8_t *inside, ptrdiff_t bits)
{
    /* Byte b of eight pixels becomes word b of their register; then word b of register k becomes word k of register b. */
    static const uint8_t gathered[64] = {
        0, 8, 16, 24, 32, 40, 48, 56, 1, 9, 17, 25, 33, 41, 49, 57, 2, 10, 18, 26, 34, 42, 50, 58, 3, 11, 19, 27, 35, 43, 51, 59,
        4, 12, 20, 28, 36, 44, 52, 60, 5, 13, 21, 29, 37, 45, 53, 61, 6, 14, 22, 30, 38, 46, 54, 62, 7, 15, 23, 31, 39, 47, 55, 63};
    static const int64_t exchanged[3][2][8] = {{{0, 8, 2, 10, 4, 12, 6, 14}, {1, 9, 3, 11, 5, 13, 7, 15}},
                                               {{0, 1, 8, 9, 4, 5, 12, 13}, {2, 3, 10, 11, 6, 7, 14, 15}},
                                               {{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}}};
    const __m512i base = _mm512_loadu_si512(inside), order = _mm512_loadu_si512(gathered);
    __m512i eight[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++)
        eight[k] = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(words + 8 * k));
#pragma GCC unroll 3
    for (int round = 0; round < 3; round++)
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++)
            if (!(k & 1 << round)) {
                __m512i a = eight[k], b = eight[k + (1 << round)];
                eight[k] = _mm512_permutex2var_epi64(a, _mm512_loadu_si512(exchanged[round][0]), b);
                eight[k + (1 << round)] = _mm512_permutex2var_epi64(a, _mm512_loadu_si512(exchanged[round][1]), b);
            }
#pragma GCC unroll 8
    for (int byte = 0; byte < 8; byte++) /* a constant, or the registers would go through memory */
        for (ptrdiff_t bit = 0; bit < 8 && 8 * byte + bit < bits; bit++, out += step) {
            __mmask64 none = _mm512_testn_epi8_mask(eight[byte], _mm512_set1_epi8((char)(1 << bit)));
            _mm512_storeu_si512(out, _mm512_maskz_mov_epi8(none, base));
        }
}

/* 64 bytes: -1 where the bit is 1, else +1. */
static inline __attribute__((always_inline)) TARGET void signs_of_bits(int8_t *out, uint64_t word)
{
    _mm512_storeu_si512(out, _mm512_or_si512(_mm512_movm_epi8(word), _mm512_set1_epi8(1)));
}

#include "../template.h"

#endif
