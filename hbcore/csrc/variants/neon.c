/* NEON: every 64-bit ARM. */
#if defined(__aarch64__) && defined(__GNUC__)

#include <arm_neon.h>
#include <stdint.h>

#define TARGET
#define NAME(x) x##_neon
#define NAME_TEXT "neon"
#define LANES 4
#define PIXELS 4
#define LANE_NUMBERS 0, 1, 2, 3
#define ROWS 8
#define FMA(a, b, c) ((vf)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define MASK(v) ((uint32_t)vaddvq_s32(vandq_s32((int32x4_t)(v), (int32x4_t){1, 2, 4, 8})))
#define BYTE_ROWS 8
#define PART vs
#define MULTIPLY_ADD(sum, u, s) ((sum) + (vs)multiply_bytes((int8x16_t)(u), (int8x16_t)(s)))
#define WIDEN(v) ((vi)vpaddlq_s16((int16x8_t)(v)))
#define STORE_BYTES(out, v) (store_bytes(out, (int32x4_t)(v)))
#define WAIT 31 /* counters are bytes: 31 * 8 < 256 */

/* The unsigned bytes are small: they are the same as signed ones. */
static inline __attribute__((always_inline)) int16x8_t multiply_bytes(int8x16_t u, int8x16_t s)
{
    return vpaddq_s16(vmull_s8(vget_low_s8(u), vget_low_s8(s)), vmull_high_s8(u, s));
}

static inline __attribute__((always_inline)) void store_bytes(void *out, int32x4_t v)
{
    int16x4_t pairs = vmovn_s32(v);
    int32_t bytes = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(pairs, pairs))), 0);
    __builtin_memcpy(out, &bytes, sizeof bytes);
}

typedef uint32_t words __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) words add_counts(words n, words v)
{
    return (words)vaddq_u8((uint8x16_t)n, vcntq_u8((uint8x16_t)v));
}

static inline __attribute__((always_inline)) words sum_counts(words n)
{
    return (words)vpaddlq_u16(vpaddlq_u8((uint8x16_t)n));
}

#include "../template.h"

#endif
