"""The gate between Python and C: a part of _kernels.pyx and _wide.pyx.

Behind it nothing checks bounds. The types of an entry's arguments say what each of them is (Cython's buffers: number
type, axes, layout, whether it may be written); here is how they must fit each other. A check that fails raises
ValueError with the name of the argument, before any memory is touched. None passes for a buffer of length 0 on every axis.
"""

cdef enum:
    ANY = -1  # an axis that may be of any length
    LARGEST = 1 << 30  # of stride, padding and channels: sums of sizes then never overflow


cdef int shaped(str name, const Py_ssize_t* shape, Py_ssize_t a, Py_ssize_t b=ANY, Py_ssize_t c=ANY,
                Py_ssize_t d=ANY) except -1:
    """The argument's axes have these lengths."""
    cdef Py_ssize_t[4] expected = [a, b, c, d]
    cdef int i
    for i in range(4):
        if expected[i] != ANY and shape[i] != expected[i]:
            raise ValueError(f"{name} has {shape[i]} on axis {i}, expected {expected[i]}")
    return 0


cdef int within(str name, Py_ssize_t value, Py_ssize_t least, Py_ssize_t most) except -1:
    """The argument is a number from `least` to `most`."""
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, got {value}")
    return 0


cdef inline int filled(str name, const Py_ssize_t* shape, int axes) except -1:
    """The argument has something on each of its axes."""
    cdef int i
    for i in range(axes):
        if shape[i] < 1:
            raise ValueError(f"{name} has nothing on axis {i}")
    return 0


cdef inline Py_ssize_t reach(Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t stride, Py_ssize_t padding) except -1:
    """Output length of a convolution along one axis of `size` pixels."""
    within("stride", stride, 1, LARGEST)
    within("padding", padding, 0, LARGEST)
    if kernel < 1 or size + 2 * padding < kernel:
        raise ValueError(f"w: a kernel of {kernel} does not fit into {size} pixels with padding {padding}")
    return (size + 2 * padding - kernel) // stride + 1


cdef inline Py_ssize_t words_of(Py_ssize_t channels) noexcept nogil:
    """Words that hold so many bits."""
    return (channels + 63) // 64
