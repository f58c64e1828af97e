# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""Compiled twin of the operations on pictures of bytes, equal to the bit. Its arguments go through _gate.pxi."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free

include "_gate.pxi"


def warp(const uint8_t[:, :, :] picture, const double[:, ::1] matrix, const uint8_t[:, ::1] levels,
         uint8_t[:, :, :] out):
    """See hbcore.kernels.pictures. Pictures may be parts of others, and mirrored."""
    cdef Py_ssize_t i, j, c, left, right, top, bottom, height = picture.shape[0], width = picture.shape[1]
    cdef Py_ssize_t step = picture.strides[2]
    cdef double x, y, dx, dy, upper, lower
    cdef const uint8_t *a
    cdef const uint8_t *b
    cdef const uint8_t *p
    cdef const uint8_t *q
    filled("picture", picture.shape, 2)
    shaped("picture", picture.shape, ANY, ANY, 3)
    shaped("matrix", matrix.shape, 2, 3)
    shaped("levels", levels.shape, 3, 256)
    shaped("out", out.shape, ANY, ANY, 3)
    with nogil:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                x = matrix[0, 0] * (j + 0.5) + matrix[0, 1] * (i + 0.5) + matrix[0, 2]
                y = matrix[1, 0] * (j + 0.5) + matrix[1, 1] * (i + 0.5) + matrix[1, 2]
                if not (0 <= x < width and 0 <= y < height):  # nor is NaN inside
                    for c in range(3):
                        out[i, j, c] = levels[c, 0]
                    continue
                x, y = x - 0.5, y - 0.5
                left, top = <Py_ssize_t>x - (x < 0), <Py_ssize_t>y - (y < 0)  # from -1 on
                dx, dy = x - left, y - top
                right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                left, top = max(left, 0), max(top, 0)
                a, b = &picture[top, left, 0], &picture[top, right, 0]
                p, q = &picture[bottom, left, 0], &picture[bottom, right, 0]
                for c in range(3):
                    upper = a[c * step] + (b[c * step] - <double>a[c * step]) * dx
                    lower = p[c * step] + (q[c * step] - <double>p[c * step]) * dx
                    out[i, j, c] = levels[c, <uint8_t>(upper + (lower - upper) * dy)]


def weighted(const uint8_t[:, :, ::1] picture, const int64_t[::1] first, const int32_t[:, ::1] weights, bint across,
             uint8_t[:, :, ::1] out):
    """See hbcore.kernels.pictures."""
    cdef Py_ssize_t i, k, y, x, taps = weights.shape[1], count = weights.shape[0]
    cdef Py_ssize_t height = picture.shape[0], width = picture.shape[1], numbers = 3 * width
    cdef uint32_t w, red, green, blue
    cdef const uint8_t *p
    cdef uint32_t *sums
    filled("picture", picture.shape, 2)
    shaped("picture", picture.shape, ANY, ANY, 3)
    shaped("first", first.shape, count)
    within("taps", taps, 1, width if across else height)
    shaped("out", out.shape, height if across else count, count if across else width, 3)
    for i in range(count):
        within("first", first[i], 0, (width if across else height) - taps)
    if across:
        with nogil:
            for y in range(height):
                for i in range(count):
                    red = green = blue = 1 << 21  # half a level
                    p = &picture[y, first[i], 0]
                    for k in range(taps):
                        w = <uint32_t>weights[i, k]
                        red += w * p[3 * k]
                        green += w * p[3 * k + 1]
                        blue += w * p[3 * k + 2]
                    out[y, i, 0] = red >> 22
                    out[y, i, 1] = green >> 22
                    out[y, i, 2] = blue >> 22
        return
    sums = <uint32_t *>calloc(numbers, sizeof(uint32_t))
    if sums == NULL:
        raise MemoryError()
    with nogil:
        for i in range(count):
            for x in range(numbers):
                sums[x] = 1 << 21
            for k in range(taps):
                w = <uint32_t>weights[i, k]
                p = &picture[first[i] + k, 0, 0]
                for x in range(numbers):
                    sums[x] += w * p[x]
            for x in range(numbers):
                (&out[i, 0, 0])[x] = sums[x] >> 22
    free(sums)
