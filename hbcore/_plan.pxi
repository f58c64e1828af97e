"""Whole networks: a part of _wide.pyx."""


cdef class Plan:
    """Steps of csrc/plan.c. The arrays named in a step must stay where they are: the plan keeps them alive.

    A step counts once all of it has gone through the checks. It is for the table of kernels that the plan began with.
    """

    cdef const hb_kernels* kernels
    cdef hb_step* steps
    cdef Py_ssize_t count, room
    cdef list arrays
    cdef bint running

    def __cinit__(self):
        self.kernels = table()
        self.arrays = []

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
        self.require_rest()
        if self.count == self.room:
            more = <hb_step*>realloc(self.steps, (2 * self.room + 16) * sizeof(hb_step))
            if more == NULL:
                raise MemoryError()
            self.steps, self.room = more, 2 * self.room + 16
        more = &self.steps[self.count]
        memset(more, 0, sizeof(hb_step))
        more.kind, more.size = kind, size
        return more

    cdef int require_rest(self) except -1:
        if self.running:
            raise RuntimeError("this plan is running in another thread: give every thread a plan of its own")
        return 0

    cdef const float* numbers(self, str name, array, Py_ssize_t filters) except NULL:
        """Where an array of one float per filter lies once it is padded with zeros."""
        cdef const float[::1] given = array
        cdef float[::1] view = np.zeros(padded(filters), dtype=np.float32)
        shaped(name, given.shape, filters)
        view[:filters] = given
        self.arrays.append(view)
        return &view[0]

    cdef const float* numbers_or_none(self, str name, array, Py_ssize_t filters) except? NULL:
        if array is None:
            return NULL
        return self.numbers(name, array, filters)

    cdef void finish(self, hb_step* step, epilogue) except *:
        """The epilogue, see hbcore.kernels.plan; y and skip lie in rows."""
        cdef float[:, :, :, :] y
        cdef const float[:, :, :, :] skip
        cdef uint64_t[:, :, :, ::1] bits
        cdef const uint64_t[::1] flip
        cdef hb_epilogue* end = &step.end
        cdef hb_conv* size = &step.size
        cdef Py_ssize_t n = size.batch, h = size.out_h, w = size.out_w, filters = size.filters
        end.alpha = self.numbers_or_none("alpha", epilogue.alpha, filters)
        end.bias = self.numbers_or_none("bias", epilogue.bias, filters)
        end.slope = self.numbers_or_none("slope", epilogue.slope, filters)
        if epilogue.scale is not None:
            end.scale = self.numbers("scale", epilogue.scale, filters)
            end.shift = self.numbers("shift", epilogue.shift, filters)
        end.relu, end.relu_last = epilogue.relu, epilogue.relu_last
        if epilogue.bits is not None:
            bits, flip = epilogue.bits, epilogue.flip
            shaped("bits", bits.shape, n, h, w, words_of(filters))
            shaped("flip", flip.shape, words_of(filters))
            end.bits, end.flip = &bits[0, 0, 0, 0], &flip[0]
            end.threshold = self.numbers("threshold", epilogue.threshold, filters)
            self.arrays += [bits, flip]
        if epilogue.y is not None:
            y = epilogue.y
            shaped("y", y.shape, n, h, w, filters)
            end.y, end.y_step = &y[0, 0, 0, 0], step_of("y", y)
            self.arrays.append(y)
        if epilogue.skip is not None:
            skip = epilogue.skip
            shaped("skip", skip.shape, n, h, w, filters)
            end.skip, end.skip_step = &skip[0, 0, 0, 0], step_of("skip", skip)
            self.arrays.append(skip)

    def conv2d(self, const float[:, :, :, ::1] x, const float[:, :, :, ::1] w, stride, padding, epilogue):
        """y = x * w, then the epilogue, without bits."""
        shaped("w", w.shape, ANY, ANY, x.shape[3])
        if epilogue.bits is not None:
            raise ValueError("bits come of binary convolutions only")
        out_h = reach(x.shape[1], w.shape[0], stride, padding)
        out_w = reach(x.shape[2], w.shape[1], stride, padding)
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], stride,
                                  padding, padding, out_h, out_w, w.shape[3])
        cdef hb_step* step = self.append(HB_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, epilogue)
        self.arrays.append(x)
        step.filters = hb_float_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w * size.channels, size.filters,
                                       2 * self.kernels.lanes)
        if step.filters == NULL:
            raise MemoryError()
        self.count += 1

    def binary_conv2d(self, const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, stride, padding,
                      epilogue):
        """y = x * w of packed signs, filters (kH, kW, words, O); then the epilogue."""
        shaped("x", x.shape, ANY, ANY, ANY, words_of(channels))
        shaped("w", w.shape, ANY, ANY, x.shape[3])
        out_h = reach(x.shape[1], w.shape[0], stride, padding)
        out_w = reach(x.shape[2], w.shape[1], stride, padding)
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], channels, w.shape[0], w.shape[1], stride,
                                  padding, padding, out_h, out_w, w.shape[3])
        cdef hb_step* step = self.append(HB_BINARY_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, epilogue)
        self.arrays.append(x)
        if hb_make_filters(&step.packed, self.kernels, &size, &w[0, 0, 0, 0]) != 0:
            hb_free_filters(&step.packed)
            raise MemoryError()
        self.count += 1

    cdef hb_step* on_pixels(self, hb_kind kind, const float[:, :, :, ::1] x) except NULL:
        """A step, not counted yet, that has no sizes but those of the picture it reads."""
        cdef hb_conv size
        filled("x", x.shape, 4)
        memset(&size, 0, sizeof(size))
        size.batch, size.height, size.width, size.channels = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
        cdef hb_step* step = self.append(kind, size)
        step.in_ = &x[0, 0, 0, 0]
        return step

    def threshold(self, const float[:, :, :, ::1] x, threshold, const uint64_t[::1] flip, uint64_t[:, :, :, ::1] bits):
        """bits = (x < threshold) xor flip."""
        cdef hb_step* step = self.on_pixels(HB_THRESHOLD, x)
        shaped("flip", flip.shape, words_of(x.shape[3]))
        shaped("bits", bits.shape, x.shape[0], x.shape[1], x.shape[2], words_of(x.shape[3]))
        step.filters = self.numbers("threshold", threshold, x.shape[3])
        step.flip, step.out = &flip[0], &bits[0, 0, 0, 0]
        self.arrays += [x, flip, bits]
        self.count += 1

    def max_pool(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y = largest of each 2 x 2 pixels of x."""
        cdef hb_step* step = self.on_pixels(HB_MAX_POOL, x)
        shaped("x", x.shape, y.shape[0], 2 * y.shape[1], 2 * y.shape[2], y.shape[3])
        step.out = &y[0, 0, 0, 0]
        self.arrays += [x, y]
        self.count += 1

    def upsample_add(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y += x, each pixel of x four times."""
        cdef hb_step* step = self.on_pixels(HB_UPSAMPLE_ADD, x)
        shaped("y", y.shape, x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3])
        step.out = &y[0, 0, 0, 0]
        self.arrays += [x, y]
        self.count += 1

    cdef hb_pixels* pixels(self, hb_pixels_kind kind, const float[:, :, :, :] x, float[:, :, :, :] y) except NULL:
        """A step of csrc/pixels.h, not counted yet."""
        cdef hb_pixels work
        cdef hb_conv size
        pixels_of(&work, kind, x, y)
        memset(&size, 0, sizeof(size))
        cdef hb_step* step = self.append(HB_PIXELS, size)
        step.pixels = work
        self.arrays += [x, y]
        return &step.pixels

    def line(self, const float[:, :, :, :] x, scale, shift, sign, float[:, :, :, :] y):
        """y = max(scale x + shift, 0) or, with `sign`, the sign of scale x + shift."""
        cdef hb_pixels* work = self.pixels(HB_LINE, x, y)
        work.scale = self.numbers("scale", scale, x.shape[3])
        work.shift = self.numbers("shift", shift, x.shape[3])
        work.sign = sign
        self.count += 1

    def add(self, const float[:, :, :, :] x, const float[:, :, :, :] other, float[:, :, :, :] y):
        """y = x + other."""
        cdef hb_pixels* work = self.pixels(HB_ADD, x, y)
        shaped("other", other.shape, x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        work.other, work.other_step = &other[0, 0, 0, 0], step_of("other", other)
        self.arrays.append(other)
        self.count += 1

    def copy(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = x."""
        self.pixels(HB_ADD, x, y)
        self.count += 1

    def avg_pool(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = mean of each 2 x 2 pixels of x."""
        self.pixels(HB_AVG_POOL, x, y)
        self.count += 1

    def upsample(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = each pixel of x four times."""
        self.pixels(HB_UPSAMPLE, x, y)
        self.count += 1

    def __len__(self):
        return self.count

    def run(self):
        """All steps in order."""
        cdef int status
        self.require_rest()
        self.running = True
        with nogil:
            status = hb_run_plan(self.kernels, self.steps, self.count)
        self.running = False
        check(status)
