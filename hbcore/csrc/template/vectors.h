/* Vectors of LANES numbers of 32 bits; a part of template.h.
 *
 * In the vector extensions of GNU C, so that one text serves all instruction sets. A mask is a vector of int32, -1
 * where something holds and 0 elsewhere.
 *
 *   TARGET        function attribute that allows the instruction set
 *   LANES         floats in a register
 *   LANE_NUMBERS  0, 1, 2, ...: LANES of them
 *   LOAD_SOME(p, n), STORE_SOME(p, v, n)   the first n lanes alone, where there are instructions for that
 *   HALF(v, upper)                         half of the lanes as doubles, where compilers do not find the instruction
 *   HALF_AT(p, bits, upper)                half of what is in memory as doubles, 0 where the bit is 0, in one instruction
 */
#define INLINE static inline __attribute__((always_inline)) TARGET
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int16_t vs __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float vh __attribute__((vector_size(2 * LANES), aligned(4), may_alias)); /* half of vf, as doubles: */
typedef double vd __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint8_t quarter __attribute__((vector_size(LANES))); /* of a register, as bytes */
typedef uint64_t vw __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint32_t half_words __attribute__((vector_size(2 * LANES))); /* half of vw's bits */
enum { WORDS = LANES / 2, PANEL = 2 * LANES };

INLINE vf load(const float *p)
{
    return *(const vf *)p;
}

INLINE void store(float *p, vf v)
{
    *(vf *)p = v;
}

INLINE vf broadcast(float a)
{
    return a - (vf){0}; /* not plus: compilers know that a - 0 is a, even if that is -0 */
}

/* The lower (0) or upper (1) half, as doubles. */
INLINE vd half(vf v, int upper)
{
#ifdef HALF
    return HALF(v, upper);
#else
    vh halves[2];
    memcpy(halves, &v, sizeof v);
    return __builtin_convertvector(halves[upper], vd);
#endif
}

/* a where the mask is -1, b where it is 0 */
INLINE vf choose(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* Which lane stands for which bit of a group of LANES bits. */
INLINE vi lane_bits(void)
{
    return ((vi){0} + 1) << (vi){LANE_NUMBERS};
}

/* Lanes of -1 (all bits) where the bit is set, of 0 elsewhere. */
INLINE vi spread(uint32_t bits)
{
    return ((((vi){0} + (int32_t)bits) & lane_bits()) != 0);
}

/* The LANES bits that start at channel c. */
INLINE uint32_t bits_at(const uint64_t *words, ptrdiff_t c)
{
    return (uint32_t)(words[c / 64] >> (c % 64)) & (uint32_t)((1ull << LANES) - 1);
}

INLINE vi larger(vi a, vi b)
{
    vi mask = a > b;
    return (mask & a) | (~mask & b);
}

INLINE vi magnitude(vf v)
{
    return (vi)v & ((vi){0} + INT32_MAX);
}

/* Zeros after the last of them. */
INLINE vf load_some(const float *p, ptrdiff_t count)
{
    if (count >= LANES)
        return load(p);
#ifdef LOAD_SOME
    return LOAD_SOME(p, count);
#else
    float line[LANES] = {0};
    memcpy(line, p, (size_t)count * sizeof *line);
    return load(line);
#endif
}

INLINE void store_some(float *p, vf v, ptrdiff_t count)
{
    if (count >= LANES) {
        store(p, v);
        return;
    }
#ifdef STORE_SOME
    STORE_SOME(p, v, count);
#else
    float line[LANES];
    store(line, v);
    memcpy(p, line, (size_t)count * sizeof *line);
#endif
}

enum { ALL_BITS = (1 << LANES) - 1 };

/* The lower (0) or upper (1) half of the first `count` numbers as doubles, 0 where the bit is 0. */
INLINE vd half_at(const float *p, ptrdiff_t count, uint32_t bits, int upper)
{
#ifdef HALF_AT
    if (count >= LANES)
        return HALF_AT(p, bits, upper);
#endif
    return half((vf)((vi)load_some(p, count) & spread(bits)), upper);
}

/* The first lanes, -1 in each. */
INLINE vi first_lanes(ptrdiff_t count)
{
    return (vi){LANE_NUMBERS} < (int32_t)MIN(count, LANES);
}

/* The lanes in another order: lane k becomes lane k ^ distance. */
INLINE vi swapped(vi v, int distance)
{
#ifdef __clang__ /* which finds the instruction by itself, once the loop around this is unrolled */
    vi out;
    for (int k = 0; k < LANES; k++)
        out[k] = v[k ^ distance];
    return out;
#else
    return __builtin_shuffle(v, (vi){LANE_NUMBERS} ^ distance);
#endif
}

INLINE vi broadcast_bytes(const void *four_bytes)
{
    int32_t a;
    memcpy(&a, four_bytes, sizeof a);
    return (vi){0} + a;
}
