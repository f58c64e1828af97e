"""Work of csrc/pixels.h: a part of _wide.pyx."""


cdef int pixels_of(hb_pixels* work, hb_pixels_kind kind, const float[:, :, :, :] x, float[:, :, :, :] y) except -1:
    """Work of that kind; x and y in rows, of the sizes that it makes of each other."""
    cdef Py_ssize_t x_step = step_of("x", x), y_step = step_of("y", y)
    cdef Py_ssize_t up = 2 if kind == HB_UPSAMPLE else 1, down = 2 if kind in (HB_SUM_POOL, HB_AVG_POOL) else 1
    shaped("y", y.shape, x.shape[0], x.shape[1] // down * up, x.shape[2] // down * up, x.shape[3])
    shaped("x", x.shape, y.shape[0], y.shape[1] // up * down, y.shape[2] // up * down, y.shape[3])
    memset(work, 0, sizeof(hb_pixels))
    work.kind, work.batch, work.height, work.width = kind, x.shape[0], x.shape[1], x.shape[2]
    work.channels, work.x, work.y = x.shape[3], &x[0, 0, 0, 0], &y[0, 0, 0, 0]
    work.x_step, work.y_step = x_step, y_step
    return 0


def affine(const float[:, :, :, :] x, const float[::1] scale, const float[::1] shift, float[:, :, :, :] y):
    """y = scale x + shift."""
    cdef hb_pixels work
    pixels_of(&work, HB_AFFINE, x, y)
    shaped("scale", scale.shape, x.shape[3])
    shaped("shift", shift.shape, x.shape[3])
    work.scale, work.shift = &scale[0], &shift[0]
    with nogil:
        hb_run_pixels(&work)


def rectify(const float[:, :, :, :] x, float[:, :, :, :] y):
    """y = max(x, 0)."""
    cdef hb_pixels work
    pixels_of(&work, HB_RECTIFY, x, y)
    with nogil:
        hb_run_pixels(&work)


def where_above(const float[:, :, :, :] x, const float[:, :, :, :] other, float[:, :, :, :] y):
    """y = x [other > 0]."""
    cdef hb_pixels work
    pixels_of(&work, HB_WHERE, x, y)
    shaped("other", other.shape, x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    work.other, work.other_step = &other[0, 0, 0, 0], step_of("other", other)
    with nogil:
        hb_run_pixels(&work)


def upsample(const float[:, :, :, :] x, float[:, :, :, :] y):
    """y = each pixel of x four times."""
    cdef hb_pixels work
    pixels_of(&work, HB_UPSAMPLE, x, y)
    with nogil:
        hb_run_pixels(&work)


def sum_pool(const float[:, :, :, :] x, float[:, :, :, :] y):
    """y = sum of each 2 x 2 pixels of x."""
    cdef hb_pixels work
    pixels_of(&work, HB_SUM_POOL, x, y)
    with nogil:
        hb_run_pixels(&work)
