"""Binary units in training, one call for each direction: a part of _wide.pyx."""


def unit_forward(const float[:, :, :, ::1] x, const float[::1] gamma, const float[::1] beta,
                 const float[:, :, :, ::1] w, float eps, padding):
    """What hbcore.kernels.units says, or None if NaN has no sign."""
    cdef const hb_kernels* k = table()
    cdef hb_unit u
    cdef int status
    shaped("gamma", gamma.shape, x.shape[3])
    shaped("beta", beta.shape, x.shape[3])
    shaped("w", w.shape, ANY, ANY, x.shape[3])
    u.size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], 1, padding, padding,
                   reach(x.shape[1], w.shape[0], 1, padding), reach(x.shape[2], w.shape[1], 1, padding), w.shape[3])
    signs = np.empty((x.shape[0], x.shape[1], x.shape[2], words_of(x.shape[3])), dtype=np.uint64)
    inside, alpha = np.empty_like(signs), np.empty(padded(w.shape[3]), dtype=np.float32)
    numbers = np.empty((3, x.shape[3]), dtype=np.float32)
    y = np.empty((x.shape[0], u.size.out_h, u.size.out_w, w.shape[3]), dtype=np.float32)
    cdef uint64_t[:, :, :, ::1] sign_words = signs, inside_words = inside
    cdef float[::1] alphas = alpha
    cdef float[:, ::1] rows = numbers
    cdef float[:, :, :, ::1] out = y
    u.x, u.gamma, u.w = &x[0, 0, 0, 0], &gamma[0], &w[0, 0, 0, 0]
    u.signs, u.inside, u.alpha = &sign_words[0, 0, 0, 0], &inside_words[0, 0, 0, 0], &alphas[0]
    u.mean, u.variance, u.r = &rows[0, 0], &rows[1, 0], &rows[2, 0]
    with nogil:
        status = hb_unit_forward(k, &u, &beta[0], eps, &out[0, 0, 0, 0])
    return None if check(status) else (y, signs, inside, alpha, numbers)


def unit_backward(const float[:, :, :, ::1] x, const float[::1] gamma, const float[:, :, :, ::1] w, padding,
                  const uint64_t[:, :, :, ::1] signs, const uint64_t[:, :, :, ::1] inside, const float[::1] alpha,
                  const float[:, ::1] numbers, const float[:, :, :, :] g, const float[:, :, :, :] so_far):
    """What hbcore.kernels.units says, for gradients in bytes; alpha padded, so_far may be None."""
    cdef const hb_kernels* k = table()
    cdef hb_unit u
    cdef Py_ssize_t step = step_of("g", g), so_far_step = 0
    cdef const float* more = NULL
    cdef int status
    shaped("w", w.shape, ANY, ANY, x.shape[3])
    u.size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], 1, padding, padding,
                   g.shape[1], g.shape[2], w.shape[3])
    within("padding", padding, 0, min(w.shape[0], w.shape[1]) - 1)  # or the way back is no convolution
    shaped("gamma", gamma.shape, x.shape[3])
    shaped("signs", signs.shape, x.shape[0], x.shape[1], x.shape[2], words_of(x.shape[3]))
    shaped("inside", inside.shape, x.shape[0], x.shape[1], x.shape[2], words_of(x.shape[3]))
    shaped("alpha", alpha.shape, padded(w.shape[3]))
    shaped("numbers", numbers.shape, 3, x.shape[3])
    shaped("g", g.shape, x.shape[0], ANY, ANY, w.shape[3])
    if so_far is not None:
        shaped("so_far", so_far.shape, x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        so_far_step, more = step_of("so_far", so_far), &so_far[0, 0, 0, 0]
    dx = np.empty((x.shape[0], x.shape[1], x.shape[2], x.shape[3]), dtype=np.float32)
    dw = np.empty((w.shape[0], w.shape[1], w.shape[2], w.shape[3]), dtype=np.float32)
    dgamma, dbeta = np.empty(x.shape[3], dtype=np.float32), np.empty(x.shape[3], dtype=np.float32)
    cdef float[:, :, :, ::1] to_x = dx, to_w = dw
    cdef float[::1] to_gamma = dgamma, to_beta = dbeta
    u.x, u.gamma, u.w = &x[0, 0, 0, 0], &gamma[0], &w[0, 0, 0, 0]
    # What is only read here is written on the way forward.
    u.signs, u.inside, u.alpha = <uint64_t*>&signs[0, 0, 0, 0], <uint64_t*>&inside[0, 0, 0, 0], <float*>&alpha[0]
    u.mean, u.variance, u.r = <float*>&numbers[0, 0], <float*>&numbers[1, 0], <float*>&numbers[2, 0]
    with nogil:
        status = hb_unit_backward(k, &u, &g[0, 0, 0, 0], step, more, so_far_step, &to_x[0, 0, 0, 0], &to_gamma[0],
                                  &to_beta[0], &to_w[0, 0, 0, 0])
    check(status)
    return dx, dgamma, dbeta, dw
