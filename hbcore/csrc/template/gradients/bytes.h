/* Gradients of a binary convolution from gradients in bytes; a part of template.h.
 *
 * One operand of both products of the backward pass is +1 or -1. The other, the gradient g of the results, is rounded to
 * bytes in groups: q = round(g / u) with u = max |g| / 127 over the group. Sums of products are then integers, exact in
 * whatever order, and four products cost what one costs in float32. What is rounded is g alone, by at most u / 2:
 *
 *     signs      dL/dS[p] = sum over taps t:  u[p + t]  sum over o of  q[p + t, o] sign(W)[t, c, o]
 *                groups: the filters of one pixel, after they were multiplied by alpha
 *     filters    dL/dW~[t, c, o] = sum over blocks of pixels b:  u[b, o]  sum over p in b of  s[p + t, c] q[p, o]
 *                groups: one filter in a block of at most BLOCK_PIXELS pixels
 *
 * A sign travels as the unsigned byte 1 + sign, 0 outside the picture becoming 1, so each sum is too large by the sum of
 * its q: `excess`. Four bytes, of four filters or four pixels side by side, are multiplied with four and added:
 *
 *   PART                     sums on the way: int16 lanes, or int32 where instructions add that far
 *   MULTIPLY_ADD(sum, u, s)  PART: unsigned bytes times signed bytes, neighbours added to the sum
 *   WIDEN(v)                 int32 lanes: neighbouring int16 added
 *   STORE_BYTES(p, v)        int32 lanes that fit into bytes
 *   BYTE_ROWS                of a register tile, of one or two registers each
 *
 * Units that are not finite, or gradients that are not, give NaN. Sums of reals are taken in the same order always.
 */
enum {
    BLOCK_PIXELS = 128,
    MOST_QUADS = 64, /* |2 * 127| * 2 * 64 < 2^15 */
    LINE = 16        /* channels of signs that lie together: 64 bytes */
};

/* Groups of largest magnitudes `bits` (those of a float): what a step of a byte is worth, and steps per unit. */
INLINE void NAME(measure)(vi bits, vf *unit, vf *steps)
{
    const vf zero = broadcast(0.0f);
    vf most = (vf)bits;
    vi finite = bits < 0x7f800000, counts = finite & (most > broadcast(1e-30f));
    *unit = choose(finite, choose(counts, most * broadcast(1.0f / 127.0f), zero), broadcast(__builtin_nanf("")));
    *steps = choose(counts, broadcast(127.0f) / most, zero);
}

/* Rounded to the nearest: adding 1.5 * 2^23 leaves whole numbers in the low bits. */
INLINE vi NAME(rounded)(vf v, vf steps)
{
    const vf magic = broadcast(0x1.8p23f);
    return (vi)(v * steps + magic) - (vi)magic;
}
