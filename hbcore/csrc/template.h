/* The kernels, written once in vectors of LANES floats. An instruction set's own file, in variants/, defines what
 * follows, explained in the headers of template/, then includes this:
 *
 *   NAME(x), NAME_TEXT                                         x with the instruction set's name at its end; that name
 *   TARGET, LANES, LANE_NUMBERS                                vectors.h
 *   MASK(v)                                                    epilogue.h
 *   ROWS, FMA(a, b, c)                                         products.h
 *   BYTE_ROWS, PART, MULTIPLY_ADD(sum, u, s), WIDEN(v), STORE_BYTES(p, v)     gradients/bytes.h
 *   PIXELS, EVEN_LANES, WAIT, add_counts(n, v), sum_counts(n)  binary_conv2d.h
 *   LOOK_UP(t, b), TABLE(p)                                    tables.h; not there where bits are counted otherwise
 *   BY_TILES, bytes_of_bits(out, step, words, inside, bits), signs_of_bits(out, word)
 *                                                              tiles/; not there where there are none
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "memory.h"
#include "panels.h"
#include "pool.h"

/* In this order: each uses what came before. */
#include "template/vectors.h"
#include "template/blocks.h"
#include "template/epilogue.h"
#include "template/products.h"
#ifdef BY_TILES
#include "template/tiles/tiles.h"
#endif
#include "template/gradients/bytes.h"
#include "template/gradients/signs.h"
#include "template/gradients/filters.h"
#ifdef BY_TILES
#include "template/tiles/signs.h"
#include "template/tiles/filters.h"
#endif
#include "template/binary_conv2d.h"
#ifdef LOOK_UP
#include "template/tables.h"
#endif
#ifdef BY_TILES
#include "template/tiles/binary_conv2d.h"
#include "template/tiles/pairs.h"
#endif
#include "template/binary_ways.h"
#include "template/norms.h"
#include "template/activations/prelu.h"
#include "template/activations/smooth.h"
#include "template/pooling.h"

const hb_kernels NAME(hb) = {
    .name = NAME_TEXT,
    .lanes = LANES,
#ifdef LOOK_UP
    .tables = 1,
#endif
#ifdef BY_TILES
    .tiles = 1,
#endif
    .conv2d = NAME(conv2d),
    .conv2d_weight_gradient = NAME(conv2d_weight_gradient),
    .sign_gradient = NAME(sign_gradient),
    .filter_gradient = NAME(filter_gradient),
    .binary_conv2d = NAME(binary_conv2d),
    .centred_sums = NAME(centred_sums),
    .norm_sign = NAME(norm_sign),
    .norm_sums = NAME(norm_sums),
    .norm_backward = NAME(norm_backward),
    .norm_smooth = NAME(norm_smooth),
    .smooth_backward = NAME(smooth_backward),
    .prelu = NAME(prelu),
    .prelu_backward = NAME(prelu_backward),
    .threshold = NAME(threshold),
    .max_pool = NAME(max_pool),
    .max_pool_backward = NAME(max_pool_backward),
    .join = NAME(join),
    .upsample_add = NAME(upsample_add),
    .count_rounds = NAME(count_rounds),
};
