# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True, autotestdict=False
"""Compiled twin of the operations on pictures of bytes, equal to the bit. Its arguments go through _gate.pxi."""

from libc.stdint cimport uint8_t

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
