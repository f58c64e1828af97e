# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""Compiled twins of the table of operations: bits equal to the bit, reals to rounding.

Plain loops without intrinsics, for any compiler and both float types, behind the checks of _gate.pxi. None of them holds
the interpreter lock, so slices of a batch run side by side on threads. Inner loops run over channels, which lie side by
side.
"""

from libc.math cimport fabs, sqrt, sqrtf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

include "_gate.pxi"

ctypedef fused real:
    float
    double

cdef enum:
    LARGEST_WINDOW = 16  # its winner is the place of a pixel, at most 255, in one byte


# ---------------------------------------------------------------------------------------------------- bits

def sign(const real[::1] x, real[::1] out):
    """out = -1 where x < 0 else +1. Returns False if any x is NaN."""
    cdef Py_ssize_t i
    cdef bint nan = False
    shaped("out", out.shape, x.shape[0])
    with nogil:
        for i in range(x.shape[0]):
            out[i] = <real>1 - 2 * <real>(x[i] < 0)
            nan |= x[i] != x[i]
    return not nan


def sign_backward(const real[::1] x, const real[::1] grad, real[::1] out):
    """out = grad where -1 < x < 1 else 0."""
    cdef Py_ssize_t i
    cdef real g
    shaped("grad", grad.shape, x.shape[0])
    shaped("out", out.shape, x.shape[0])
    with nogil:
        for i in range(x.shape[0]):
            g = grad[i]  # read first, so that the choice becomes a select and not a branch
            out[i] = g if fabs(x[i]) < 1 else <real>0


def pack_signs(const real[:, ::1] x, uint64_t[:, ::1] out):
    """Signs of each row, bit i of word w from channel 64 * w + i. Returns False if any x is NaN."""
    cdef Py_ssize_t row, word, first, i, channels = x.shape[1]
    cdef uint64_t bits
    cdef bint nan = False
    shaped("out", out.shape, x.shape[0], words_of(channels))
    with nogil:
        for row in range(x.shape[0]):
            for word in range(out.shape[1]):
                first = 64 * word
                bits = 0
                for i in range(min(64, channels - first)):
                    bits |= <uint64_t>(x[row, first + i] < 0) << i
                    nan |= x[row, first + i] != x[row, first + i]
                out[row, word] = bits
    return not nan


cdef inline uint64_t byte_counts(uint64_t v) noexcept nogil:
    """Bits set in each of a word's eight bytes: needs no popcnt instruction, and compilers run it on whole vectors."""
    v = v - ((v >> 1) & <uint64_t>0x5555555555555555)
    v = (v & <uint64_t>0x3333333333333333) + ((v >> 2) & <uint64_t>0x3333333333333333)
    return (v + (v >> 4)) & <uint64_t>0x0F0F0F0F0F0F0F0F


cdef inline int64_t byte_sum(uint64_t v) noexcept nogil:
    """Sum of a word's eight bytes."""
    v = (v & <uint64_t>0x00FF00FF00FF00FF) + ((v >> 8) & <uint64_t>0x00FF00FF00FF00FF)
    return <int64_t>((v * <uint64_t>0x0001000100010001) >> 48)


def binary_conv2d(const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, int64_t channels,
                  Py_ssize_t stride, Py_ssize_t padding, int32_t[:, :, :, ::1] out):
    """out[n, y, x, o] = sum over the taps inside the picture of channels - 2 popcount(x xor w).

    w: (kH, kW, words, O), filters side by side, so that one word of the picture meets a row of filters. Differing bits
    gather in byte counters, which hold 31 words (31 * 8 < 256) before they must be emptied into the sums.
    """
    cdef Py_ssize_t n, oy, ox, o, i, j, k, iy, ix, waiting
    cdef Py_ssize_t height = x.shape[1], width = x.shape[2], words = x.shape[3]
    cdef Py_ssize_t kernel_h = w.shape[0], kernel_w = w.shape[1], filters = w.shape[3]
    cdef int64_t taps
    cdef uint64_t a
    cdef const uint64_t* b
    within("channels", channels, 0, LARGEST)
    shaped("x", x.shape, ANY, ANY, ANY, words_of(channels))
    shaped("w", w.shape, ANY, ANY, words)
    shaped("out", out.shape, x.shape[0], reach(height, kernel_h, stride, padding), reach(width, kernel_w, stride, padding),
           filters)
    cdef uint64_t* counters = <uint64_t*>calloc(filters, sizeof(uint64_t))
    cdef int64_t* differing = <int64_t*>calloc(filters, sizeof(int64_t))
    if counters == NULL or differing == NULL:
        free(counters)
        free(differing)
        raise MemoryError()
    with nogil:
        for n in range(out.shape[0]):
            for oy in range(out.shape[1]):
                for ox in range(out.shape[2]):
                    taps = 0
                    waiting = 0
                    for i in range(kernel_h):
                        iy = oy * stride - padding + i
                        if iy < 0 or iy >= height:
                            continue
                        for j in range(kernel_w):
                            ix = ox * stride - padding + j
                            if ix < 0 or ix >= width:
                                continue
                            taps += 1
                            for k in range(words):
                                a = x[n, iy, ix, k]
                                b = &w[i, j, k, 0]
                                for o in range(filters):
                                    counters[o] += byte_counts(a ^ b[o])
                                waiting += 1
                                if waiting == 31:
                                    waiting = 0
                                    for o in range(filters):
                                        differing[o] += byte_sum(counters[o])
                                        counters[o] = 0
                    for o in range(filters):
                        out[n, oy, ox, o] = <int32_t>(
                            taps * channels - 2 * (differing[o] + byte_sum(counters[o])))
                        counters[o] = 0
                        differing[o] = 0
    free(counters)
    free(differing)


def pack_columns(const real[:, :, ::1] w, uint64_t[:, :, ::1] out):
    """out (taps, words, filters) |= signs of w (taps, C, filters), packed along C. Returns False if any is NaN."""
    cdef Py_ssize_t t, c, o
    cdef bint nan = False
    shaped("out", out.shape, w.shape[0], words_of(w.shape[1]), w.shape[2])
    with nogil:
        for t in range(w.shape[0]):
            for c in range(w.shape[1]):
                for o in range(w.shape[2]):
                    out[t, c // 64, o] |= <uint64_t>(w[t, c, o] < 0) << (c % 64)
                    nan |= w[t, c, o] != w[t, c, o]
    return not nan


# ---------------------------------------------------------------------------------------------------- reals

def im2col(const real[:, :, :, ::1] x, Py_ssize_t kernel_h, Py_ssize_t kernel_w, Py_ssize_t stride,
           Py_ssize_t pad_h, Py_ssize_t pad_w, real[:, :, :, ::1] out):
    """out[n, oy, ox] = the neighbourhood of an output pixel; taps of one kernel row lie side by side in both arrays."""
    cdef Py_ssize_t n, oy, ox, i, iy, ix, j0, j1
    cdef Py_ssize_t height = x.shape[1], width = x.shape[2], channels = x.shape[3], run = kernel_w * channels
    cdef real* row
    shaped("out", out.shape, x.shape[0], reach(height, kernel_h, stride, pad_h), reach(width, kernel_w, stride, pad_w),
           kernel_h * run)
    with nogil:
        for n in range(out.shape[0]):
            for oy in range(out.shape[1]):
                for ox in range(out.shape[2]):
                    ix = ox * stride - pad_w
                    j0 = min(kernel_w, max(0, -ix))
                    j1 = max(j0, min(kernel_w, width - ix))
                    for i in range(kernel_h):
                        iy = oy * stride - pad_h + i
                        row = &out[n, oy, ox, i * run]
                        if iy < 0 or iy >= height or j0 == j1:
                            memset(row, 0, run * sizeof(real))
                            continue
                        if j0 > 0:
                            memset(row, 0, j0 * channels * sizeof(real))
                        memcpy(row + j0 * channels, &x[n, iy, ix + j0, 0], (j1 - j0) * channels * sizeof(real))
                        if j1 < kernel_w:
                            memset(row + j1 * channels, 0, (kernel_w - j1) * channels * sizeof(real))


def centred_sums(const real[:, ::1] x, const real[::1] origin, double[::1] sums, double[::1] squares):
    """sums += x - origin, squares += (x - origin)^2, over rows."""
    cdef Py_ssize_t m, c
    cdef double distance
    shaped("origin", origin.shape, x.shape[1])
    shaped("sums", sums.shape, x.shape[1])
    shaped("squares", squares.shape, x.shape[1])
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                distance = <double>x[m, c] - origin[c]
                sums[c] += distance
                squares[c] += distance * distance


def affine(const real[:, ::1] x, const real[::1] scale, const real[::1] shift, real[:, ::1] out):
    """out = scale x + shift."""
    cdef Py_ssize_t m, c
    shaped("scale", scale.shape, x.shape[1])
    shaped("shift", shift.shape, x.shape[1])
    shaped("out", out.shape, x.shape[0], x.shape[1])
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                out[m, c] = x[m, c] * scale[c] + shift[c]


def norm_sums(const real[:, ::1] x, const real[:, ::1] grad, const real[::1] mean, double[::1] sums, double[::1] products):
    """sums += g, products += g (x - mean), over rows."""
    cdef Py_ssize_t m, c
    shaped("grad", grad.shape, x.shape[0], x.shape[1])
    shaped("mean", mean.shape, x.shape[1])
    shaped("sums", sums.shape, x.shape[1])
    shaped("products", products.shape, x.shape[1])
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                sums[c] += grad[m, c]
                products[c] += <double>grad[m, c] * (x[m, c] - mean[c])


def norm_backward(const real[:, ::1] x, const real[:, ::1] grad, const real[::1] a, const real[::1] b,
                  const real[::1] c, real[:, ::1] out):
    """out = a g + b x + c."""
    cdef Py_ssize_t m, k
    shaped("grad", grad.shape, x.shape[0], x.shape[1])
    shaped("a", a.shape, x.shape[1])
    shaped("b", b.shape, x.shape[1])
    shaped("c", c.shape, x.shape[1])
    shaped("out", out.shape, x.shape[0], x.shape[1])
    with nogil:
        for m in range(x.shape[0]):
            for k in range(x.shape[1]):
                out[m, k] = grad[m, k] * a[k] + x[m, k] * b[k] + c[k]


def max_pool(const real[:, :, :, ::1] x, Py_ssize_t size, real[:, :, :, ::1] out, uint8_t[:, :, :, ::1] winner):
    """Largest value of each window and which pixel of it, in reading order, has it first.

    Returns False if a NaN may have been passed over: it compares as larger to nothing.
    """
    cdef Py_ssize_t n, oy, ox, c, tap
    cdef const real* pixel
    cdef real* best
    cdef uint8_t* who
    cdef bint nan = False
    within("size", size, 1, LARGEST_WINDOW)
    shaped("x", x.shape, out.shape[0], size * out.shape[1], size * out.shape[2], out.shape[3])
    shaped("winner", winner.shape, out.shape[0], out.shape[1], out.shape[2], out.shape[3])
    with nogil:
        for n in range(out.shape[0]):
            for oy in range(out.shape[1]):
                for ox in range(out.shape[2]):
                    best = &out[n, oy, ox, 0]
                    who = &winner[n, oy, ox, 0]
                    memcpy(best, &x[n, oy * size, ox * size, 0], out.shape[3] * sizeof(real))
                    memset(who, 0, out.shape[3])
                    for tap in range(1, size * size):
                        pixel = &x[n, oy * size + tap // size, ox * size + tap % size, 0]
                        for c in range(out.shape[3]):
                            who[c] = <uint8_t>tap if pixel[c] > best[c] else who[c]
                            best[c] = pixel[c] if pixel[c] > best[c] else best[c]
                            nan |= pixel[c] != pixel[c]
    return not nan


def max_pool_backward(const real[:, :, :, ::1] grad, const uint8_t[:, :, :, ::1] winner, Py_ssize_t size,
                      real[:, :, :, ::1] out):
    """Each window's gradient goes to its winner, the other pixels get 0."""
    cdef Py_ssize_t n, oy, ox, c, tap
    cdef real* pixel
    within("size", size, 1, LARGEST_WINDOW)
    shaped("winner", winner.shape, grad.shape[0], grad.shape[1], grad.shape[2], grad.shape[3])
    shaped("out", out.shape, grad.shape[0], size * grad.shape[1], size * grad.shape[2], grad.shape[3])
    with nogil:
        for n in range(grad.shape[0]):
            for oy in range(grad.shape[1]):
                for ox in range(grad.shape[2]):
                    for tap in range(size * size):
                        pixel = &out[n, oy * size + tap // size, ox * size + tap % size, 0]
                        for c in range(grad.shape[3]):
                            pixel[c] = grad[n, oy, ox, c] if winner[n, oy, ox, c] == tap else 0


def mean_magnitude(const real[:, ::1] w, real[::1] out):
    """out = mean of |w| per column."""
    cdef Py_ssize_t i, o
    shaped("out", out.shape, w.shape[1])
    with nogil:
        for o in range(w.shape[1]):
            out[o] = 0
        for i in range(w.shape[0]):
            for o in range(w.shape[1]):
                out[o] += -w[i, o] if w[i, o] < 0 else w[i, o]
        for o in range(w.shape[1]):
            out[o] /= w.shape[0]


def latent_gradient(real[:, ::1] grad, const real[:, ::1] w, const real[::1] alpha):
    """grad *= 1 / n + alpha [-1 < w < 1], n = rows."""
    cdef Py_ssize_t i, o
    cdef real share = <real>1 / <real>w.shape[0]
    shaped("w", w.shape, grad.shape[0], grad.shape[1])
    shaped("alpha", alpha.shape, w.shape[1])
    with nogil:
        for i in range(w.shape[0]):
            for o in range(w.shape[1]):
                grad[i, o] *= share + (alpha[o] if w[i, o] < 1 and w[i, o] > -1 else 0)


def adam(real[::1] w, const real[::1] g, real[::1] mean, real[::1] square, double b1, double b2, double step_size,
         double correction, double eps):
    """The update of hbcore.optim.optimizers.Adam in one pass, rounded as NumPy rounds it."""
    cdef Py_ssize_t i
    cdef real keep1 = <real>b1, take1 = <real>(1 - b1), keep2 = <real>b2, take2 = <real>(1 - b2)
    cdef real size = <real>step_size, divisor = <real>correction, small = <real>eps, m, v, root
    shaped("g", g.shape, w.shape[0])
    shaped("mean", mean.shape, w.shape[0])
    shaped("square", square.shape, w.shape[0])
    with nogil:
        for i in range(w.shape[0]):
            m = mean[i] * keep1 + take1 * g[i]
            v = square[i] * keep2 + take2 * (g[i] * g[i])
            mean[i], square[i] = m, v
            root = <real>sqrtf(<float>(v / divisor)) if real is float else <real>sqrt(v / divisor)
            w[i] = w[i] - size * (m / (root + small))


def rmsprop(real[::1] w, const real[::1] g, real[::1] square, double decay, double lr, double eps):
    """The update of hbcore.optim.optimizers.RMSprop in one pass, rounded as NumPy rounds it."""
    cdef Py_ssize_t i
    cdef real keep = <real>decay, take = <real>(1 - decay), rate = <real>lr, small = <real>eps, v, root
    shaped("g", g.shape, w.shape[0])
    shaped("square", square.shape, w.shape[0])
    with nogil:
        for i in range(w.shape[0]):
            v = square[i] * keep + take * (g[i] * g[i])
            square[i] = v
            root = <real>sqrtf(<float>v) if real is float else <real>sqrt(v)
            w[i] = w[i] - rate * (g[i] / (root + small))
