# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""The doors to csrc/: the same operations in float32, with wide registers and threads of their own, and whole networks.

Their arguments go through the checks of _gate.pxi. C wants nothing empty.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

import numpy as np

include "_gate.pxi"

cdef enum:
    PARTS = 16  # of a join, at most

# For those who call: arrays of one number per filter are padded to a multiple of PAD.
MOST_PARTS, PAD = PARTS, HB_PAD

cdef const hb_kernels* wide = NULL


def has(name):
    """Whether this CPU can run the named table of wide kernels."""
    return hb_choose(<bytes>name.encode()) != NULL


def choose(name):
    """Use the named table of wide kernels, or the best one for None; its name, or None if this CPU has none such.

    There is one for the process. Where there is none such it stays the one before.
    """
    global wide
    cdef const hb_kernels* found = hb_choose(NULL) if name is None else hb_choose(<bytes>name.encode())
    if found == NULL:
        return None
    wide = found
    return found.name.decode()


def set_threads(int count):
    """Threads of the wide kernels. Waits for the work of another thread, without the interpreter lock."""
    with nogil:
        hb_set_threads(count)


def count(Py_ssize_t rounds):
    """Count for benchmarks; returns how many bits were compared."""
    cdef const hb_kernels* k = table()
    with nogil:
        k.count_rounds(rounds)
    return rounds * 8 * 32 * k.lanes


def keep_memory(bint keep):
    """See hbcore.kernels.keep_memory."""
    hb_keep_memory(keep)


cdef const hb_kernels* table() except NULL:
    """The chosen table. An entry asks once, so that another choice meanwhile cannot mix two."""
    if wide == NULL:
        raise RuntimeError("no wide kernels were chosen")
    return wide


cdef hb_conv sizes(batch, height, width, channels, kernel_h, kernel_w, stride, pad_h, pad_w, out_h, out_w,
                   filters) except *:
    """A convolution from pictures to results that fit each other."""
    cdef hb_conv size
    cdef Py_ssize_t[4] axes = [batch, height, width, channels]
    filled("x", axes, 4)
    if filters < 1:
        raise ValueError("w has no filters")
    if out_h != reach(height, kernel_h, stride, pad_h) or out_w != reach(width, kernel_w, stride, pad_w):
        raise ValueError(f"out: {out_h} x {out_w} pixels are not what a kernel of {kernel_h} x {kernel_w} makes of"
                         f" {height} x {width} with stride {stride} and padding {pad_h}, {pad_w}")
    size.batch, size.height, size.width, size.channels = batch, height, width, channels
    size.kernel_h, size.kernel_w, size.stride, size.pad_h, size.pad_w = kernel_h, kernel_w, stride, pad_h, pad_w
    size.out_h, size.out_w, size.filters = out_h, out_w, filters
    return size


cdef Py_ssize_t padded(Py_ssize_t filters) noexcept:
    """Length of an array of one number per filter."""
    return (filters + HB_PAD - 1) // HB_PAD * HB_PAD


cdef int check(int status) except -1:
    if status < 0:
        raise MemoryError()
    return status


def conv2d(const float[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] bits, const float[:, :, :, ::1] w, stride, pad_h,
           pad_w, float[:, :, :, ::1] out):
    """out = x * w; the input as numbers or, where x is None, as packed signs."""
    cdef const float* numbers = NULL
    cdef const uint64_t* signs = NULL
    if x is not None:
        shaped("x", x.shape, out.shape[0], ANY, ANY, w.shape[2])
        numbers = &x[0, 0, 0, 0]
        height, width = x.shape[1], x.shape[2]
    else:
        shaped("bits", bits.shape, out.shape[0], ANY, ANY, words_of(w.shape[2]))
        signs = &bits[0, 0, 0, 0]
        height, width = bits.shape[1], bits.shape[2]
    shaped("out", out.shape, ANY, ANY, ANY, w.shape[3])
    cdef const hb_kernels* k = table()
    cdef hb_conv size = sizes(out.shape[0], height, width, w.shape[2], w.shape[0], w.shape[1], stride, pad_h, pad_w,
                              out.shape[1], out.shape[2], out.shape[3])
    cdef hb_epilogue end
    cdef float* panels
    cdef int status = -1
    memset(&end, 0, sizeof(end))
    end.y, end.y_step = &out[0, 0, 0, 0], size.filters
    with nogil:
        panels = hb_float_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w * size.channels, size.filters,
                                 2 * k.lanes)
        if panels != NULL:
            status = k.conv2d(&size, numbers, signs, panels, &end)
        free(panels)
    check(status)


def weight_gradient(const float[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] bits, channels,
                         const float[:, :, :, ::1] g, stride, pad_h, pad_w, float[:, :, :, ::1] out):
    """out (kH, kW, C, O) = gradient of the filters for g; the input as numbers or, where x is None, as packed signs."""
    cdef const float* numbers = NULL
    cdef const uint64_t* signs = NULL
    cdef hb_conv size
    cdef int status
    cdef const hb_kernels* k = table()
    if x is not None:
        shaped("x", x.shape, g.shape[0], ANY, ANY, channels)
        numbers = &x[0, 0, 0, 0]
        batch, height, width = x.shape[0], x.shape[1], x.shape[2]
    else:
        shaped("bits", bits.shape, g.shape[0], ANY, ANY, words_of(channels))
        signs = &bits[0, 0, 0, 0]
        batch, height, width = bits.shape[0], bits.shape[1], bits.shape[2]
    shaped("out", out.shape, ANY, ANY, channels, g.shape[3])
    size = sizes(batch, height, width, channels, out.shape[0], out.shape[1], stride, pad_h, pad_w,
                 g.shape[1], g.shape[2], g.shape[3])
    with nogil:
        status = k.conv2d_weight_gradient(&size, numbers, signs, &g[0, 0, 0, 0], &out[0, 0, 0, 0])
    check(status)


def binary_conv2d(const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, const float[::1] alpha,
                       stride, padding, float[:, :, :, ::1] out):
    """out = alpha (x * w), x packed signs, w packed filters (kH, kW, words, O), alpha padded."""
    shaped("x", x.shape, ANY, ANY, ANY, words_of(channels))
    shaped("w", w.shape, ANY, ANY, x.shape[3])
    shaped("alpha", alpha.shape, padded(w.shape[3]))
    shaped("out", out.shape, x.shape[0], ANY, ANY, w.shape[3])
    cdef const hb_kernels* k = table()
    cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], channels, w.shape[0], w.shape[1], stride,
                              padding, padding, out.shape[1], out.shape[2], out.shape[3])
    cdef hb_epilogue end
    cdef hb_filters filters
    cdef int status
    memset(&end, 0, sizeof(end))
    end.alpha, end.y, end.y_step = &alpha[0], &out[0, 0, 0, 0], size.filters
    with nogil:
        status = hb_make_filters(&filters, k, &size, &w[0, 0, 0, 0])
        if status == 0:
            status = k.binary_conv2d(&size, &x[0, 0, 0, 0], &filters, &end)
        hb_free_filters(&filters)
    check(status)


def in_rows(const float[:, :, :, :] x):
    """Whether pixels are contiguous and at one distance from each other: a whole array, or some channels of a wider."""
    return (x.strides[3] == sizeof(float) and x.strides[1] == x.shape[2] * x.strides[2]
            and x.strides[0] == x.shape[1] * x.strides[1] and x.strides[2] >= x.shape[3] * <Py_ssize_t>sizeof(float)
            and x.strides[2] % <Py_ssize_t>sizeof(float) == 0)


cdef Py_ssize_t step_of(str name, const float[:, :, :, :] x) except -1:
    """From one pixel to the next of an argument that lies in rows."""
    filled(name, x.shape, 4)
    if not in_rows(x):
        raise ValueError(f"{name} does not lie in rows: pass a contiguous array")
    return x.strides[2] // sizeof(float)


def sign_gradient(const float[:, :, :, :] g, const float[:, :, :, ::1] w, const float[::1] alpha, pad_h, pad_w,
                       float[:, :, :, ::1] out):
    """out = gradient of the signs that met alpha sign(w), alpha padded; pad_h and pad_w are those of the way back."""
    shaped("w", w.shape, ANY, ANY, ANY, g.shape[3])
    shaped("alpha", alpha.shape, padded(g.shape[3]))
    shaped("out", out.shape, g.shape[0], ANY, ANY, w.shape[2])
    cdef const hb_kernels* k = table()
    cdef hb_conv size = sizes(g.shape[0], g.shape[1], g.shape[2], g.shape[3], w.shape[0], w.shape[1], 1, pad_h, pad_w,
                              out.shape[1], out.shape[2], out.shape[3])
    cdef Py_ssize_t step = step_of("g", g)
    cdef uint8_t* panels
    cdef int status = -1
    with nogil:
        panels = hb_sign_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w, size.filters, size.channels,
                                2 * k.lanes)
        if panels != NULL:
            status = k.sign_gradient(&size, &g[0, 0, 0, 0], step, &alpha[0], panels, &out[0, 0, 0, 0])
        free(panels)
    check(status)


def filter_gradient(const uint64_t[:, :, :, ::1] bits, const float[:, :, :, :] g, pad_h, pad_w,
                         float[:, :, :, ::1] out):
    """out (kH, kW, C, O) = gradient of alpha sign(W) for g, with packed signs."""
    shaped("bits", bits.shape, g.shape[0], ANY, ANY, words_of(out.shape[2]))
    shaped("out", out.shape, ANY, ANY, ANY, g.shape[3])
    cdef const hb_kernels* k = table()
    cdef hb_conv size = sizes(bits.shape[0], bits.shape[1], bits.shape[2], out.shape[2], out.shape[0], out.shape[1], 1,
                              pad_h, pad_w, g.shape[1], g.shape[2], g.shape[3])
    cdef Py_ssize_t step = step_of("g", g)
    cdef int status
    with nogil:
        status = k.filter_gradient(&size, &bits[0, 0, 0, 0], &g[0, 0, 0, 0], step, &out[0, 0, 0, 0])
    check(status)


def centred_sums(const float[:, ::1] x, const float[::1] origin, double[::1] sums, double[::1] squares):
    """sums += x - origin, squares += (x - origin)^2, over rows."""
    cdef int status
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("origin", origin.shape, x.shape[1])
    shaped("sums", sums.shape, x.shape[1])
    shaped("squares", squares.shape, x.shape[1])
    with nogil:
        status = k.centred_sums(x.shape[0], x.shape[1], &x[0, 0], &origin[0], &sums[0], &squares[0])
    check(status)


def norm_sign(const float[:, ::1] x, const float[::1] scale, const float[::1] shift, uint64_t[:, ::1] signs,
                   uint64_t[:, ::1] inside):
    """For v = scale x + shift, the bits of v < 0 and of -1 < v < 1. Returns False if any v is NaN."""
    cdef int status
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("scale", scale.shape, x.shape[1])
    shaped("shift", shift.shape, x.shape[1])
    shaped("signs", signs.shape, x.shape[0], words_of(x.shape[1]))
    shaped("inside", inside.shape, x.shape[0], words_of(x.shape[1]))
    with nogil:
        status = k.norm_sign(x.shape[0], x.shape[1], &x[0, 0], &scale[0], &shift[0], &signs[0, 0], &inside[0, 0])
    return status == 0


def norm_sums(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] inside,
                   const float[::1] mean, double[::1] sums, double[::1] products):
    """As norm_sums, with the gradient set to 0 outside the inside unless that is None."""
    cdef const uint64_t* bits = NULL
    cdef int status
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("grad", grad.shape, x.shape[0], x.shape[1])
    shaped("mean", mean.shape, x.shape[1])
    shaped("sums", sums.shape, x.shape[1])
    shaped("products", products.shape, x.shape[1])
    if inside is not None:
        shaped("inside", inside.shape, x.shape[0], words_of(x.shape[1]))
        bits = &inside[0, 0]
    with nogil:
        status = k.norm_sums(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &mean[0], &sums[0], &products[0])
    check(status)


def norm_backward(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] inside,
                       const float[::1] a, const float[::1] b, const float[::1] c, float[:, ::1] out):
    """As norm_backward, with the gradient set to 0 outside the inside unless that is None; out may be grad."""
    cdef const uint64_t* bits = NULL
    cdef int status
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("grad", grad.shape, x.shape[0], x.shape[1])
    shaped("a", a.shape, x.shape[1])
    shaped("b", b.shape, x.shape[1])
    shaped("c", c.shape, x.shape[1])
    shaped("out", out.shape, x.shape[0], x.shape[1])
    if inside is not None:
        shaped("inside", inside.shape, x.shape[0], words_of(x.shape[1]))
        bits = &inside[0, 0]
    with nogil:
        status = k.norm_backward(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &a[0], &b[0], &c[0], NULL, 0,
                                 &out[0, 0])
    check(status)


def max_pool(const float[:, :, :, ::1] x, float[:, :, :, ::1] out, uint8_t[:, :, :, ::1] winner):
    """As max_pool of 2 x 2 pixels. Returns False if any is NaN."""
    cdef int nan
    cdef const hb_kernels* k = table()
    filled("out", out.shape, 4)
    shaped("x", x.shape, out.shape[0], 2 * out.shape[1], 2 * out.shape[2], out.shape[3])
    shaped("winner", winner.shape, out.shape[0], out.shape[1], out.shape[2], out.shape[3])
    with nogil:
        nan = k.max_pool(x.shape[0], x.shape[1], x.shape[2], x.shape[3], &x[0, 0, 0, 0], &out[0, 0, 0, 0],
                            &winner[0, 0, 0, 0])
    return not nan


def max_pool_backward(const float[:, :, :, ::1] grad, const uint8_t[:, :, :, ::1] winner,
                           float[:, :, :, ::1] out):
    """As max_pool_backward of 2 x 2 pixels."""
    cdef const hb_kernels* k = table()
    filled("grad", grad.shape, 4)
    shaped("winner", winner.shape, grad.shape[0], grad.shape[1], grad.shape[2], grad.shape[3])
    shaped("out", out.shape, grad.shape[0], 2 * grad.shape[1], 2 * grad.shape[2], grad.shape[3])
    with nogil:
        k.max_pool_backward(out.shape[0], out.shape[1], out.shape[2], out.shape[3], &winner[0, 0, 0, 0],
                               &grad[0, 0, 0, 0], &out[0, 0, 0, 0])


def join(const float[:, :, :, :] skip, parts, float[:, :, :, :] out):
    """out = skip + (parts side by side), all of them in rows; at most MOST_PARTS of them."""
    cdef const hb_kernels* k = table()
    cdef Py_ssize_t skip_step = step_of("skip", skip), out_step = step_of("out", out), count = 0, width = 0
    cdef hb_part[PARTS] pointers
    cdef const float[:, :, :, :] part
    shaped("out", out.shape, skip.shape[0], skip.shape[1], skip.shape[2], skip.shape[3])
    held = []
    for each in parts:
        part = each
        within("the number of parts", count + 1, 1, PARTS)
        shaped("part", part.shape, skip.shape[0], skip.shape[1], skip.shape[2], ANY)
        pointers[count].step, pointers[count].width = step_of("part", part), part.shape[3]
        pointers[count].x = &part[0, 0, 0, 0]
        width += part.shape[3]
        count += 1
        held.append(part)
    if width != skip.shape[3]:
        raise ValueError(f"parts have {width} on axis 3, expected {skip.shape[3]}")
    with nogil:
        k.join(skip.shape[0] * skip.shape[1] * skip.shape[2], pointers, count, &skip[0, 0, 0, 0], skip_step,
               &out[0, 0, 0, 0], out_step)


include "_activations.pxi"
include "_unit.pxi"
include "_pixels.pxi"
include "_plan.pxi"
