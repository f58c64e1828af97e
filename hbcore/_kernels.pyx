# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""Compiled twins of hbcore.bits (to the bit) and hbcore.arrays (to rounding).

The callers in hbcore/kernels.py check shapes and types; here only the loops live. First plain ones, without intrinsics,
for any compiler and both float types: none of them holds the interpreter lock, so slices of a batch run side by side on
threads. Inner loops run over channels, which lie side by side. At the end the doors to csrc/, the same work in float32
with wide registers and threads of its own.
"""

from libc.math cimport fabs, sqrt, sqrtf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

ctypedef fused real:
    float
    double


# ---------------------------------------------------------------------------------------------------- bits

def sign(const real[::1] x, real[::1] out):
    """out = -1 where x < 0 else +1. Returns False if any x is NaN."""
    cdef Py_ssize_t i
    cdef bint nan = False
    with nogil:
        for i in range(x.shape[0]):
            out[i] = <real>1 - 2 * <real>(x[i] < 0)
            nan |= x[i] != x[i]
    return not nan


def sign_backward(const real[::1] x, const real[::1] grad, real[::1] out):
    """out = grad where -1 < x < 1 else 0."""
    cdef Py_ssize_t i
    cdef real g
    with nogil:
        for i in range(x.shape[0]):
            g = grad[i]  # read first, so that the choice becomes a select and not a branch
            out[i] = g if fabs(x[i]) < 1 else <real>0


def pack_signs(const real[:, ::1] x, uint64_t[:, ::1] out):
    """Signs of each row, bit i of word w from channel 64 * w + i. Returns False if any x is NaN."""
    cdef Py_ssize_t row, word, first, i, channels = x.shape[1]
    cdef uint64_t bits
    cdef bint nan = False
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


def moments(const real[:, ::1] x, const real[::1] origin, double[::1] sums, double[::1] squares):
    """sums += x - origin, squares += (x - origin)^2, over rows."""
    cdef Py_ssize_t m, c
    cdef double distance
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                distance = <double>x[m, c] - origin[c]
                sums[c] += distance
                squares[c] += distance * distance


def affine(const real[:, ::1] x, const real[::1] scale, const real[::1] shift, real[:, ::1] out):
    """out = scale x + shift."""
    cdef Py_ssize_t m, c
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                out[m, c] = x[m, c] * scale[c] + shift[c]


def norm_sums(const real[:, ::1] x, const real[:, ::1] grad, const real[::1] mean, double[::1] sums, double[::1] products):
    """sums += g, products += g (x - mean), over rows."""
    cdef Py_ssize_t m, c
    with nogil:
        for m in range(x.shape[0]):
            for c in range(x.shape[1]):
                sums[c] += grad[m, c]
                products[c] += <double>grad[m, c] * (x[m, c] - mean[c])


def norm_backward(const real[:, ::1] x, const real[:, ::1] grad, const real[::1] a, const real[::1] b,
                  const real[::1] c, real[:, ::1] out):
    """out = a g + b x + c."""
    cdef Py_ssize_t m, k
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
    with nogil:
        for i in range(w.shape[0]):
            for o in range(w.shape[1]):
                grad[i, o] *= share + (alpha[o] if w[i, o] < 1 and w[i, o] > -1 else 0)


def adam(real[::1] w, const real[::1] g, real[::1] mean, real[::1] square, double b1, double b2, double step_size,
         double correction, double eps):
    """The update of hbcore.optim.Adam in one pass, rounded as NumPy rounds it."""
    cdef Py_ssize_t i
    cdef real keep1 = <real>b1, take1 = <real>(1 - b1), keep2 = <real>b2, take2 = <real>(1 - b2)
    cdef real size = <real>step_size, divisor = <real>correction, small = <real>eps, m, v, root
    with nogil:
        for i in range(w.shape[0]):
            m = mean[i] * keep1 + take1 * g[i]
            v = square[i] * keep2 + take2 * (g[i] * g[i])
            mean[i], square[i] = m, v
            root = <real>sqrtf(<float>(v / divisor)) if real is float else <real>sqrt(v / divisor)
            w[i] = w[i] - size * (m / (root + small))


def rmsprop(real[::1] w, const real[::1] g, real[::1] square, double decay, double lr, double eps):
    """The update of hbcore.optim.RMSprop in one pass, rounded as NumPy rounds it."""
    cdef Py_ssize_t i
    cdef real keep = <real>decay, take = <real>(1 - decay), rate = <real>lr, small = <real>eps, v, root
    with nogil:
        for i in range(w.shape[0]):
            v = square[i] * keep + take * (g[i] * g[i])
            square[i] = v
            root = <real>sqrtf(<float>v) if real is float else <real>sqrt(v)
            w[i] = w[i] - rate * (g[i] / (root + small))


# -------------------------------------------------------------------------------------------- wide registers

cdef extern from "csrc/kernels.h":
    ctypedef struct hb_conv:
        Py_ssize_t batch, height, width, channels
        Py_ssize_t kernel_h, kernel_w, stride, pad_h, pad_w
        Py_ssize_t out_h, out_w, filters

    ctypedef struct hb_epilogue:
        const float *alpha
        const float *bias
        bint relu
        const float *slope
        const float *scale
        const float *shift
        bint relu_last
        const float *threshold
        const uint64_t *flip
        uint64_t *bits
        const float *skip
        float *y
        Py_ssize_t skip_step, y_step

    enum: HB_PAD

    ctypedef struct hb_filters:
        pass

    ctypedef struct hb_kernels:
        const char* name
        Py_ssize_t lanes
        uint64_t (*count_rounds)(Py_ssize_t) nogil
        int (*conv2d)(const hb_conv*, const float*, const float*, const hb_epilogue*) nogil
        int (*conv2d_weight_gradient)(const hb_conv*, const float*, const uint64_t*, const float*, float*) nogil
        int (*sign_gradient)(const hb_conv*, const float*, Py_ssize_t, const float*, const uint8_t*, float*) nogil
        int (*filter_gradient)(const hb_conv*, const uint64_t*, const float*, Py_ssize_t, float*) nogil
        int (*binary_conv2d)(const hb_conv*, const uint64_t*, const hb_filters*, const hb_epilogue*) nogil
        int (*centred_sums)(Py_ssize_t, Py_ssize_t, const float*, const float*, double*, double*) nogil
        int (*norm_sign)(Py_ssize_t, Py_ssize_t, const float*, const float*, const float*, uint64_t*, uint64_t*) nogil
        int (*norm_sums)(Py_ssize_t, Py_ssize_t, const float*, const float*, const uint64_t*, const float*,
                         double*, double*) nogil
        int (*max_pool)(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*, uint8_t*) nogil
        int (*max_pool_backward)(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const uint8_t*, const float*,
                                 float*) nogil
        int (*add)(Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, const float*, Py_ssize_t, float*, Py_ssize_t) nogil
        int (*norm_backward)(Py_ssize_t, Py_ssize_t, const float*, const float*, const uint64_t*, const float*,
                             const float*, const float*, float*) nogil

    const hb_kernels* hb_choose(const char* name)

cdef extern from "csrc/pool.h":
    void hb_set_threads(int count)

cdef extern from "csrc/panels.h":
    float* hb_float_panels(const float*, Py_ssize_t terms, Py_ssize_t filters, Py_ssize_t width) nogil
    int hb_make_filters(hb_filters*, const hb_kernels*, const hb_conv*, const uint64_t*) nogil
    void hb_free_filters(hb_filters*) nogil
    uint8_t* hb_sign_panels(const float*, Py_ssize_t taps, Py_ssize_t channels, Py_ssize_t filters,
                            Py_ssize_t width) nogil

cdef extern from "csrc/plan.h":
    ctypedef enum hb_kind:
        HB_CONV2D, HB_BINARY_CONV2D, HB_THRESHOLD, HB_MAX_POOL, HB_UPSAMPLE_ADD

    ctypedef struct hb_step:
        hb_kind kind
        hb_conv size
        const void* in_ "in"
        const void* filters
        hb_filters packed
        const uint64_t* flip
        void* out
        hb_epilogue end

    int hb_run_plan(const hb_kernels*, const hb_step*, Py_ssize_t) nogil

cdef extern from "csrc/memory.h":
    void hb_keep_memory()

cdef const hb_kernels* wide = NULL


def choose_wide(name):
    """Use the named table of wide kernels, or the best one for None; its name, or None if this CPU has none such."""
    global wide
    wide = hb_choose(NULL) if name is None else hb_choose(<bytes>name.encode())
    return None if wide == NULL else wide.name.decode()


def set_threads(int count):
    """Threads of the wide kernels."""
    hb_set_threads(count)


def wide_count(Py_ssize_t rounds):
    """Count for benchmarks; returns how many bits were compared."""
    with nogil:
        wide.count_rounds(rounds)
    return rounds * 8 * 32 * wide.lanes


def keep_memory():
    """See hbcore.kernels.keep_memory."""
    hb_keep_memory()


cdef hb_conv sizes(batch, height, width, channels, kernel_h, kernel_w, stride, pad_h, pad_w, out_h, out_w, filters):
    cdef hb_conv size
    size.batch, size.height, size.width, size.channels = batch, height, width, channels
    size.kernel_h, size.kernel_w, size.stride, size.pad_h, size.pad_w = kernel_h, kernel_w, stride, pad_h, pad_w
    size.out_h, size.out_w, size.filters = out_h, out_w, filters
    return size


cdef int check(int status) except -1:
    if status < 0:
        raise MemoryError()
    return status


def wide_conv2d(const float[:, :, :, ::1] x, const float[:, :, :, ::1] w, stride, pad_h, pad_w,
                float[:, :, :, ::1] out):
    """out = x * w."""
    cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], stride,
                              pad_h, pad_w, out.shape[1], out.shape[2], out.shape[3])
    cdef hb_epilogue end
    cdef float* panels
    cdef int status = -1
    memset(&end, 0, sizeof(end))
    end.y, end.y_step = &out[0, 0, 0, 0], size.filters
    with nogil:
        panels = hb_float_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w * size.channels, size.filters,
                                 2 * wide.lanes)
        if panels != NULL:
            status = wide.conv2d(&size, &x[0, 0, 0, 0], panels, &end)
        free(panels)
    check(status)


def wide_weight_gradient(const float[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] bits, channels,
                         const float[:, :, :, ::1] g, stride, pad_h, pad_w, float[:, :, :, ::1] out):
    """out (kH, kW, C, O) = gradient of the filters for g; the input as numbers or, where x is None, as packed signs."""
    cdef const float* numbers = NULL
    cdef const uint64_t* signs = NULL
    cdef hb_conv size
    cdef int status
    if x is not None:
        numbers = &x[0, 0, 0, 0]
        batch, height, width = x.shape[0], x.shape[1], x.shape[2]
    else:
        signs = &bits[0, 0, 0, 0]
        batch, height, width = bits.shape[0], bits.shape[1], bits.shape[2]
    size = sizes(batch, height, width, channels, out.shape[0], out.shape[1], stride, pad_h, pad_w,
                 g.shape[1], g.shape[2], g.shape[3])
    with nogil:
        status = wide.conv2d_weight_gradient(&size, numbers, signs, &g[0, 0, 0, 0], &out[0, 0, 0, 0])
    check(status)


def wide_binary_conv2d(const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, const float[::1] alpha,
                       stride, padding, float[:, :, :, ::1] out):
    """out = alpha (x * w), x packed signs, w packed filters (kH, kW, words, O), alpha padded."""
    cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], channels, w.shape[0], w.shape[1], stride,
                              padding, padding, out.shape[1], out.shape[2], out.shape[3])
    cdef hb_epilogue end
    cdef hb_filters filters
    cdef int status
    memset(&end, 0, sizeof(end))
    end.alpha, end.y, end.y_step = &alpha[0], &out[0, 0, 0, 0], size.filters
    with nogil:
        status = hb_make_filters(&filters, wide, &size, &w[0, 0, 0, 0])
        if status == 0:
            status = wide.binary_conv2d(&size, &x[0, 0, 0, 0], &filters, &end)
        hb_free_filters(&filters)
    check(status)


cdef bint is_rows(const float[:, :, :, :] x) noexcept:
    """Pixels at one distance from each other, each contiguous: a whole array, or some channels of a wider one."""
    return (x.strides[3] == sizeof(float) and x.strides[1] == x.shape[2] * x.strides[2]
            and x.strides[0] == x.shape[1] * x.strides[1])


cdef Py_ssize_t pixel_step(const float[:, :, :, :] x) except -1:
    """Floats from one pixel to the next."""
    if not is_rows(x):
        raise ValueError("pixels do not lie at one distance from each other")
    return x.strides[2] // sizeof(float)


def wide_sign_gradient(const float[:, :, :, :] g, const float[:, :, :, ::1] w, const float[::1] alpha, pad_h, pad_w,
                       float[:, :, :, ::1] out):
    """out = gradient of the signs that met alpha sign(w), alpha padded; pad_h and pad_w are those of the way back."""
    cdef hb_conv size = sizes(g.shape[0], g.shape[1], g.shape[2], g.shape[3], w.shape[0], w.shape[1], 1, pad_h, pad_w,
                              out.shape[1], out.shape[2], out.shape[3])
    cdef Py_ssize_t step = pixel_step(g)
    cdef uint8_t* panels
    cdef int status = -1
    with nogil:
        panels = hb_sign_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w, size.filters, size.channels,
                                2 * wide.lanes)
        if panels != NULL:
            status = wide.sign_gradient(&size, &g[0, 0, 0, 0], step, &alpha[0], panels, &out[0, 0, 0, 0])
        free(panels)
    check(status)


def wide_filter_gradient(const uint64_t[:, :, :, ::1] bits, const float[:, :, :, :] g, pad_h, pad_w,
                         float[:, :, :, ::1] out):
    """out (kH, kW, C, O) = gradient of alpha sign(W) for g, with packed signs."""
    cdef hb_conv size = sizes(bits.shape[0], bits.shape[1], bits.shape[2], out.shape[2], out.shape[0], out.shape[1], 1,
                              pad_h, pad_w, g.shape[1], g.shape[2], g.shape[3])
    cdef Py_ssize_t step = pixel_step(g)
    cdef int status
    with nogil:
        status = wide.filter_gradient(&size, &bits[0, 0, 0, 0], &g[0, 0, 0, 0], step, &out[0, 0, 0, 0])
    check(status)


def wide_moments(const float[:, ::1] x, const float[::1] origin, double[::1] sums, double[::1] squares):
    """As moments."""
    cdef int status
    with nogil:
        status = wide.centred_sums(x.shape[0], x.shape[1], &x[0, 0], &origin[0], &sums[0], &squares[0])
    check(status)


def wide_norm_sign(const float[:, ::1] x, const float[::1] scale, const float[::1] shift, uint64_t[:, ::1] signs,
                   uint64_t[:, ::1] window):
    """For v = scale x + shift, the bits of v < 0 and of -1 < v < 1. Returns False if any v is NaN."""
    cdef int status
    with nogil:
        status = wide.norm_sign(x.shape[0], x.shape[1], &x[0, 0], &scale[0], &shift[0], &signs[0, 0], &window[0, 0])
    return status == 0


def wide_norm_sums(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] window,
                   const float[::1] mean, double[::1] sums, double[::1] products):
    """As norm_sums, with the gradient set to 0 outside the window unless that is None."""
    cdef const uint64_t* bits = NULL if window is None else &window[0, 0]
    cdef int status
    with nogil:
        status = wide.norm_sums(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &mean[0], &sums[0], &products[0])
    check(status)


def wide_norm_backward(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] window,
                       const float[::1] a, const float[::1] b, const float[::1] c, float[:, ::1] out):
    """As norm_backward, with the gradient set to 0 outside the window unless that is None; out may be grad."""
    cdef const uint64_t* bits = NULL if window is None else &window[0, 0]
    cdef int status
    with nogil:
        status = wide.norm_backward(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &a[0], &b[0], &c[0], &out[0, 0])
    check(status)


def wide_max_pool(const float[:, :, :, ::1] x, float[:, :, :, ::1] out, uint8_t[:, :, :, ::1] winner):
    """As max_pool of 2 x 2 pixels. Returns False if any is NaN."""
    cdef int nan
    with nogil:
        nan = wide.max_pool(x.shape[0], x.shape[1], x.shape[2], x.shape[3], &x[0, 0, 0, 0], &out[0, 0, 0, 0],
                            &winner[0, 0, 0, 0])
    return not nan


def wide_max_pool_backward(const float[:, :, :, ::1] grad, const uint8_t[:, :, :, ::1] winner,
                           float[:, :, :, ::1] out):
    """As max_pool_backward of 2 x 2 pixels."""
    with nogil:
        wide.max_pool_backward(out.shape[0], out.shape[1], out.shape[2], out.shape[3], &winner[0, 0, 0, 0],
                               &grad[0, 0, 0, 0], &out[0, 0, 0, 0])


def wide_add(const float[:, :, :, :] a, const float[:, :, :, :] b, float[:, :, :, :] out):
    """out = a + b. Returns False, and does nothing, if any of them does not lie in rows."""
    if not (is_rows(a) and is_rows(b) and is_rows(out)):
        return False
    with nogil:
        wide.add(a.shape[0] * a.shape[1] * a.shape[2], a.shape[3], &a[0, 0, 0, 0], a.strides[2] // sizeof(float),
                 &b[0, 0, 0, 0], b.strides[2] // sizeof(float), &out[0, 0, 0, 0], out.strides[2] // sizeof(float))
    return True


# -------------------------------------------------------------------------------------------- whole networks

cdef class Plan:
    """Steps of csrc/plan.c. The arrays named in a step must stay where they are: the plan keeps them alive."""

    cdef hb_step* steps
    cdef Py_ssize_t count, room
    cdef list arrays, panels

    def __cinit__(self):
        if wide == NULL:
            raise RuntimeError("plans need wide kernels")
        self.arrays, self.panels = [], []

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            if self.steps[i].kind == HB_CONV2D:
                free(<void*>self.steps[i].filters)
            elif self.steps[i].kind == HB_BINARY_CONV2D:
                hb_free_filters(&self.steps[i].packed)
        free(self.steps)

    cdef hb_step* append(self, hb_kind kind, hb_conv size) except NULL:
        cdef hb_step* more
        if self.count == self.room:
            more = <hb_step*>realloc(self.steps, (2 * self.room + 16) * sizeof(hb_step))
            if more == NULL:
                raise MemoryError()
            self.steps, self.room = more, 2 * self.room + 16
        more = &self.steps[self.count]
        memset(more, 0, sizeof(hb_step))
        more.kind, more.size = kind, size
        return more

    cdef const float* numbers(self, array) except? NULL:
        """Where an array of floats, padded, or None, lies."""
        cdef const float[::1] view
        if array is None:
            return NULL
        view = array
        if view.shape[0] % HB_PAD:
            raise ValueError(f"{view.shape[0]} numbers are not padded to a multiple of {HB_PAD}")
        self.arrays.append(array)
        return &view[0]

    cdef void finish(self, hb_step* step, end, Py_ssize_t filters) except *:
        """The epilogue: a dict of hb_epilogue's fields; y and skip are (N, H, W, C) whose last axis is contiguous."""
        cdef float[:, :, :, :] y
        cdef const float[:, :, :, :] skip
        cdef uint64_t[:, :, :, ::1] bits
        cdef const uint64_t[::1] flip
        step.end.alpha, step.end.bias = self.numbers(end.get("alpha")), self.numbers(end.get("bias"))
        step.end.slope = self.numbers(end.get("slope"))
        step.end.scale, step.end.shift = self.numbers(end.get("scale")), self.numbers(end.get("shift"))
        step.end.relu, step.end.relu_last = end.get("relu", False), end.get("relu_last", False)
        shape = step.size.batch, step.size.out_h, step.size.out_w
        if end.get("bits") is not None:
            bits, flip = end["bits"], end["flip"]
            if (bits.shape[0], bits.shape[1], bits.shape[2], bits.shape[3]) != (*shape, flip.shape[0]):
                raise ValueError("bits do not fit the convolution")
            step.end.bits, step.end.flip = &bits[0, 0, 0, 0], &flip[0]
            step.end.threshold = self.numbers(end["threshold"])
            self.arrays += [end["bits"], end["flip"]]
        if end.get("y") is not None:
            y = end["y"]
            if (y.shape[0], y.shape[1], y.shape[2], y.shape[3]) != (*shape, filters):
                raise ValueError("the result does not fit the convolution")
            step.end.y, step.end.y_step = &y[0, 0, 0, 0], y.strides[2] // sizeof(float)
            self.arrays.append(end["y"])
        if end.get("skip") is not None:
            skip = end["skip"]
            if (skip.shape[0], skip.shape[1], skip.shape[2], skip.shape[3]) != (*shape, filters):
                raise ValueError("what is to be added does not fit the convolution")
            step.end.skip, step.end.skip_step = &skip[0, 0, 0, 0], skip.strides[2] // sizeof(float)
            self.arrays.append(end["skip"])

    def conv2d(self, const float[:, :, :, ::1] x, const float[:, :, :, ::1] w, stride, padding, out_h, out_w, end):
        """y = x * w, then the epilogue."""
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], stride,
                                  padding, padding, out_h, out_w, w.shape[3])
        cdef hb_step* step = self.append(HB_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, end, size.filters)
        self.arrays.append(x)
        step.filters = hb_float_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w * size.channels, size.filters,
                                       2 * wide.lanes)
        if step.filters == NULL:
            raise MemoryError()
        self.count += 1

    def binary_conv2d(self, const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, padding, end):
        """y = x * w of packed signs, filters (kH, kW, words, O), stride 1, same size; then the epilogue."""
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], channels, w.shape[0], w.shape[1], 1,
                                  padding, padding, x.shape[1], x.shape[2], w.shape[3])
        cdef hb_step* step = self.append(HB_BINARY_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, end, size.filters)
        self.arrays.append(x)
        if hb_make_filters(&step.packed, wide, &size, &w[0, 0, 0, 0]) != 0:
            hb_free_filters(&step.packed)
            raise MemoryError()
        self.count += 1

    def threshold(self, const float[:, :, :, ::1] x, threshold, const uint64_t[::1] flip, uint64_t[:, :, :, ::1] bits):
        """bits = (x < threshold) xor flip."""
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, 0, 0, 0, 0, 0, 0)
        cdef hb_step* step = self.append(HB_THRESHOLD, size)
        step.in_, step.filters, step.flip = &x[0, 0, 0, 0], self.numbers(threshold), &flip[0]
        step.out = &bits[0, 0, 0, 0]
        self.arrays += [x, flip, bits]
        self.count += 1

    def max_pool(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y = largest of each 2 x 2 pixels of x."""
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, 0, 0, 0, 0, 0, 0)
        cdef hb_step* step = self.append(HB_MAX_POOL, size)
        step.in_, step.out = &x[0, 0, 0, 0], &y[0, 0, 0, 0]
        self.arrays += [x, y]
        self.count += 1

    def upsample_add(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y += x, each pixel of x four times."""
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, 0, 0, 0, 0, 0, 0)
        cdef hb_step* step = self.append(HB_UPSAMPLE_ADD, size)
        step.in_, step.out = &x[0, 0, 0, 0], &y[0, 0, 0, 0]
        self.arrays += [x, y]
        self.count += 1

    def __len__(self):
        return self.count

    def run(self):
        """All steps in order."""
        cdef int status
        with nogil:
            status = hb_run_plan(wide, self.steps, self.count)
        check(status)
