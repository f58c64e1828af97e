"""Pictures of bytes, resampled: a part of _kernels.pyx. What the operations are: `kernels/resampling.py`."""


def weighted(const uint8_t[:, :, ::1] picture, const int64_t[::1] first, const int32_t[:, ::1] weights, bint across,
             uint8_t[:, :, ::1] out):
    """Each row of `out` (each column, if `across`): whole weights times the rows from first[i] on, in 2^22 parts."""
    cdef Py_ssize_t i, k, y, x, taps = weights.shape[1], count = weights.shape[0]
    cdef Py_ssize_t height = picture.shape[0], width = picture.shape[1], numbers
    cdef uint32_t w, red, green, blue
    cdef const uint8_t* p
    cdef uint32_t* sums
    shaped("picture", picture.shape, ANY, ANY, 3)
    shaped("first", first.shape, count)
    shaped("out", out.shape, height if across else count, count if across else width, 3)
    for i in range(count):
        within("first", first[i], 0, (width if across else height) - taps)
    if taps < 1 or picture.shape[0] < 1 or picture.shape[1] < 1:
        raise ValueError("picture has no pixel, or weights are none")
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
    numbers = 3 * width
    sums = <uint32_t*>calloc(numbers, sizeof(uint32_t))
    if sums == NULL:
        raise MemoryError()
    with nogil:
        for i in range(count):
            for x in range(numbers):
                sums[x] = 1 << 21
            for k in range(taps):
                w = <uint32_t>weights[i, k]
                if w == 0:
                    continue
                p = &picture[first[i] + k, 0, 0]
                for x in range(numbers):
                    sums[x] += w * p[x]
            for x in range(numbers):
                (&out[i, 0, 0])[x] = sums[x] >> 22
    free(sums)


def through_grid(const uint8_t[:, :, ::1] picture, const double[:, ::1] grid, uint8_t[:, :, ::1] out):
    """Bilinear samples of a picture at the places of a grid, levels rounded down; black outside."""
    cdef Py_ssize_t i, j, c, left, right, upper_row, height = picture.shape[0], width = picture.shape[1]
    cdef double x, y, dx, dy, above, below
    cdef const uint8_t* upper
    cdef const uint8_t* lower
    shaped("picture", picture.shape, ANY, ANY, 3)
    shaped("grid", grid.shape, 2, 3)
    shaped("out", out.shape, ANY, ANY, 3)
    with nogil:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                x = grid[0, 0] * (j + 0.5) + grid[0, 1] * (i + 0.5) + grid[0, 2]
                y = grid[1, 0] * (j + 0.5) + grid[1, 1] * (i + 0.5) + grid[1, 2]
                if not (0 <= x < width and 0 <= y < height):  # NaN is nowhere
                    out[i, j, 0] = out[i, j, 1] = out[i, j, 2] = 0
                    continue
                x, y = x - 0.5, y - 0.5
                left, upper_row = <Py_ssize_t>floor(x), <Py_ssize_t>floor(y)
                dx, dy = x - left, y - upper_row
                upper = &picture[max(upper_row, 0), 0, 0]
                lower = &picture[min(upper_row + 1, height - 1), 0, 0]
                right = 3 * min(left + 1, width - 1)
                left = 3 * max(left, 0)
                for c in range(3):
                    above = upper[left + c] + (<double>upper[right + c] - upper[left + c]) * dx
                    below = lower[left + c] + (<double>lower[right + c] - lower[left + c]) * dx
                    out[i, j, c] = <uint8_t>(above + (below - above) * dy)
