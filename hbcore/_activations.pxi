"""What follows a convolution, or stands for the sign, number by number: a part of _wide.pyx."""


def norm_smooth(const float[:, ::1] x, const float[::1] scale, const float[::1] shift, float half, float[:, ::1] out):
    """out = tanh(half (scale x + shift))."""
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("scale", scale.shape, x.shape[1])
    shaped("shift", shift.shape, x.shape[1])
    shaped("out", out.shape, x.shape[0], x.shape[1])
    with nogil:
        k.norm_smooth(x.shape[0], x.shape[1], &x[0, 0], &scale[0], &shift[0], half, &out[0, 0])


def smooth_backward(const float[:, ::1] s, float[:, ::1] grad, float half):
    """grad *= half (1 - s^2)."""
    cdef const hb_kernels* k = table()
    filled("s", s.shape, 2)
    shaped("grad", grad.shape, s.shape[0], s.shape[1])
    with nogil:
        k.smooth_backward(s.shape[0], s.shape[1], &s[0, 0], half, &grad[0, 0])


def prelu(const float[:, ::1] x, const float[::1] slope, float[:, ::1] out):
    """out = slope x where x <= 0, else x."""
    cdef const hb_kernels* k = table()
    filled("x", x.shape, 2)
    shaped("slope", slope.shape, x.shape[1])
    shaped("out", out.shape, x.shape[0], x.shape[1])
    with nogil:
        k.prelu(x.shape[0], x.shape[1], &x[0, 0], &slope[0], &out[0, 0])


def prelu_backward(const float[:, :, :, ::1] x, const float[::1] slope, const float[:, :, :, :] grad,
                   float[:, :, :, ::1] out, double[::1] sums):
    """out = slope g where x <= 0, else g, which lies in rows; sums += g x where x <= 0."""
    cdef int status
    cdef const hb_kernels* k = table()
    cdef Py_ssize_t step = step_of("grad", grad)
    shaped("x", x.shape, grad.shape[0], grad.shape[1], grad.shape[2], grad.shape[3])
    shaped("slope", slope.shape, x.shape[3])
    shaped("out", out.shape, x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    shaped("sums", sums.shape, x.shape[3])
    with nogil:
        status = k.prelu_backward(x.shape[0] * x.shape[1] * x.shape[2], x.shape[3], &x[0, 0, 0, 0], &slope[0],
                                  &grad[0, 0, 0, 0], step, &out[0, 0, 0, 0], &sums[0])
    check(status)
