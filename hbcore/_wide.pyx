# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""The doors to csrc/: the same operations in float32, with wide registers and threads of their own, and whole networks.

The caller, hbcore/kernels/wide.py, checks shapes and types.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

import numpy as np

cdef const hb_kernels* wide = NULL


def choose(name):
    """Use the named table of wide kernels, or the best one for None; its name, or None if this CPU has none such."""
    global wide
    wide = hb_choose(NULL) if name is None else hb_choose(<bytes>name.encode())
    return None if wide == NULL else wide.name.decode()


def set_threads(int count):
    """Threads of the wide kernels."""
    hb_set_threads(count)


def count(Py_ssize_t rounds):
    """Count for benchmarks; returns how many bits were compared."""
    with nogil:
        wide.count_rounds(rounds)
    return rounds * 8 * 32 * wide.lanes


def keep_memory(bint keep):
    """See hbcore.kernels.keep_memory."""
    hb_keep_memory(keep)


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


def conv2d(const float[:, :, :, ::1] x, const float[:, :, :, ::1] w, stride, pad_h, pad_w,
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


def weight_gradient(const float[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] bits, channels,
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


def binary_conv2d(const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, const float[::1] alpha,
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


def in_rows(const float[:, :, :, :] x):
    """Whether pixels are contiguous and at one distance from each other: a whole array, or some channels of a wider."""
    return (x.strides[3] == sizeof(float) and x.strides[1] == x.shape[2] * x.strides[2]
            and x.strides[0] == x.shape[1] * x.strides[1])


def sign_gradient(const float[:, :, :, :] g, const float[:, :, :, ::1] w, const float[::1] alpha, pad_h, pad_w,
                       float[:, :, :, ::1] out):
    """out = gradient of the signs that met alpha sign(w), alpha padded; pad_h and pad_w are those of the way back."""
    cdef hb_conv size = sizes(g.shape[0], g.shape[1], g.shape[2], g.shape[3], w.shape[0], w.shape[1], 1, pad_h, pad_w,
                              out.shape[1], out.shape[2], out.shape[3])
    cdef Py_ssize_t step = g.strides[2] // sizeof(float)
    cdef uint8_t* panels
    cdef int status = -1
    with nogil:
        panels = hb_sign_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w, size.filters, size.channels,
                                2 * wide.lanes)
        if panels != NULL:
            status = wide.sign_gradient(&size, &g[0, 0, 0, 0], step, &alpha[0], panels, &out[0, 0, 0, 0])
        free(panels)
    check(status)


def filter_gradient(const uint64_t[:, :, :, ::1] bits, const float[:, :, :, :] g, pad_h, pad_w,
                         float[:, :, :, ::1] out):
    """out (kH, kW, C, O) = gradient of alpha sign(W) for g, with packed signs."""
    cdef hb_conv size = sizes(bits.shape[0], bits.shape[1], bits.shape[2], out.shape[2], out.shape[0], out.shape[1], 1,
                              pad_h, pad_w, g.shape[1], g.shape[2], g.shape[3])
    cdef Py_ssize_t step = g.strides[2] // sizeof(float)
    cdef int status
    with nogil:
        status = wide.filter_gradient(&size, &bits[0, 0, 0, 0], &g[0, 0, 0, 0], step, &out[0, 0, 0, 0])
    check(status)


def centred_sums(const float[:, ::1] x, const float[::1] origin, double[::1] sums, double[::1] squares):
    """sums += x - origin, squares += (x - origin)^2, over rows."""
    cdef int status
    with nogil:
        status = wide.centred_sums(x.shape[0], x.shape[1], &x[0, 0], &origin[0], &sums[0], &squares[0])
    check(status)


def norm_sign(const float[:, ::1] x, const float[::1] scale, const float[::1] shift, uint64_t[:, ::1] signs,
                   uint64_t[:, ::1] inside):
    """For v = scale x + shift, the bits of v < 0 and of -1 < v < 1. Returns False if any v is NaN."""
    cdef int status
    with nogil:
        status = wide.norm_sign(x.shape[0], x.shape[1], &x[0, 0], &scale[0], &shift[0], &signs[0, 0], &inside[0, 0])
    return status == 0


def norm_sums(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] inside,
                   const float[::1] mean, double[::1] sums, double[::1] products):
    """As norm_sums, with the gradient set to 0 outside the inside unless that is None."""
    cdef const uint64_t* bits = NULL
    cdef int status
    if inside is not None:
        bits = &inside[0, 0]
    with nogil:
        status = wide.norm_sums(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &mean[0], &sums[0], &products[0])
    check(status)


def norm_backward(const float[:, ::1] x, const float[:, ::1] grad, const uint64_t[:, ::1] inside,
                       const float[::1] a, const float[::1] b, const float[::1] c, float[:, ::1] out):
    """As norm_backward, with the gradient set to 0 outside the inside unless that is None; out may be grad."""
    cdef const uint64_t* bits = NULL
    cdef int status
    if inside is not None:
        bits = &inside[0, 0]
    with nogil:
        status = wide.norm_backward(x.shape[0], x.shape[1], &x[0, 0], &grad[0, 0], bits, &a[0], &b[0], &c[0], &out[0, 0])
    check(status)


def max_pool(const float[:, :, :, ::1] x, float[:, :, :, ::1] out, uint8_t[:, :, :, ::1] winner):
    """As max_pool of 2 x 2 pixels. Returns False if any is NaN."""
    cdef int nan
    with nogil:
        nan = wide.max_pool(x.shape[0], x.shape[1], x.shape[2], x.shape[3], &x[0, 0, 0, 0], &out[0, 0, 0, 0],
                            &winner[0, 0, 0, 0])
    return not nan


def max_pool_backward(const float[:, :, :, ::1] grad, const uint8_t[:, :, :, ::1] winner,
                           float[:, :, :, ::1] out):
    """As max_pool_backward of 2 x 2 pixels."""
    with nogil:
        wide.max_pool_backward(out.shape[0], out.shape[1], out.shape[2], out.shape[3], &winner[0, 0, 0, 0],
                               &grad[0, 0, 0, 0], &out[0, 0, 0, 0])


def add(const float[:, :, :, :] a, const float[:, :, :, :] b, float[:, :, :, :] out):
    """out = a + b, all of them in rows."""
    with nogil:
        wide.add(a.shape[0] * a.shape[1] * a.shape[2], a.shape[3], &a[0, 0, 0, 0], a.strides[2] // sizeof(float),
                 &b[0, 0, 0, 0], b.strides[2] // sizeof(float), &out[0, 0, 0, 0], out.strides[2] // sizeof(float))


include "_plan.pxi"
