"""Whole networks: a part of _wide.pyx."""


cdef class Plan:
    """Steps of csrc/plan.c. The arrays named in a step must stay where they are: the plan keeps them alive."""

    cdef hb_step* steps
    cdef Py_ssize_t count, room
    cdef list arrays, panels

    def __cinit__(self):
        if wide == NULL:
            raise RuntimeError("plans need wide kernels")
        self.arrays, self.panels = [], []

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
        if self.count == self.room:
            more = <hb_step*>realloc(self.steps, (2 * self.room + 16) * sizeof(hb_step))
            if more == NULL:
                raise MemoryError()
            self.steps, self.room = more, 2 * self.room + 16
        more = &self.steps[self.count]
        memset(more, 0, sizeof(hb_step))
        more.kind, more.size = kind, size
        return more

    cdef const float* numbers(self, array) except? NULL:
        """Where an array of one float per filter, or None, lies once it is padded with zeros to HB_PAD."""
        cdef float[::1] view
        if array is None:
            return NULL
        view = padded = np.zeros((len(array) + HB_PAD - 1) // HB_PAD * HB_PAD, dtype=np.float32)
        padded[: len(array)] = array
        self.arrays.append(padded)
        return &view[0]

    cdef void finish(self, hb_step* step, epilogue) except *:
        """The epilogue, see hbcore.kernels.plan; y and skip have a last axis that is contiguous."""
        cdef float[:, :, :, :] y
        cdef const float[:, :, :, :] skip
        cdef uint64_t[:, :, :, ::1] bits
        cdef const uint64_t[::1] flip
        cdef hb_epilogue* end = &step.end
        shape = step.size.batch, step.size.out_h, step.size.out_w
        end.alpha, end.bias, end.slope = (
            self.numbers(epilogue.alpha), self.numbers(epilogue.bias), self.numbers(epilogue.slope))
        end.scale, end.shift = self.numbers(epilogue.scale), self.numbers(epilogue.shift)
        end.relu, end.relu_last = epilogue.relu, epilogue.relu_last
        if epilogue.bits is not None:
            bits, flip = epilogue.bits, epilogue.flip
            if epilogue.bits.shape != (*shape, flip.shape[0]):
                raise ValueError("bits do not fit the convolution")
            end.bits, end.flip, end.threshold = &bits[0, 0, 0, 0], &flip[0], self.numbers(epilogue.threshold)
        if epilogue.y is not None:
            y = epilogue.y
            if epilogue.y.shape != (*shape, step.size.filters):
                raise ValueError("the result does not fit the convolution")
            end.y, end.y_step = &y[0, 0, 0, 0], y.strides[2] // sizeof(float)
        if epilogue.skip is not None:
            skip = epilogue.skip
            if epilogue.skip.shape != (*shape, step.size.filters):
                raise ValueError("what is to be added does not fit the convolution")
            end.skip, end.skip_step = &skip[0, 0, 0, 0], skip.strides[2] // sizeof(float)
        self.arrays.append(epilogue)

    def conv2d(self, const float[:, :, :, ::1] x, const float[:, :, :, ::1] w, stride, padding, epilogue):
        """y = x * w, then the epilogue."""
        out_h = (x.shape[1] + 2 * padding - w.shape[0]) // stride + 1
        out_w = (x.shape[2] + 2 * padding - w.shape[1]) // stride + 1
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], stride,
                                  padding, padding, out_h, out_w, w.shape[3])
        cdef hb_step* step = self.append(HB_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, epilogue)
        self.arrays.append(x)
        step.filters = hb_float_panels(&w[0, 0, 0, 0], size.kernel_h * size.kernel_w * size.channels, size.filters,
                                       2 * wide.lanes)
        if step.filters == NULL:
            raise MemoryError()
        self.count += 1

    def binary_conv2d(self, const uint64_t[:, :, :, ::1] x, const uint64_t[:, :, :, ::1] w, channels, stride, padding,
                      epilogue):
        """y = x * w of packed signs, filters (kH, kW, words, O); then the epilogue."""
        out_h = (x.shape[1] + 2 * padding - w.shape[0]) // stride + 1
        out_w = (x.shape[2] + 2 * padding - w.shape[1]) // stride + 1
        cdef hb_conv size = sizes(x.shape[0], x.shape[1], x.shape[2], channels, w.shape[0], w.shape[1], stride,
                                  padding, padding, out_h, out_w, w.shape[3])
        cdef hb_step* step = self.append(HB_BINARY_CONV2D, size)
        step.in_ = &x[0, 0, 0, 0]
        self.finish(step, epilogue)
        self.arrays.append(x)
        if hb_make_filters(&step.packed, wide, &size, &w[0, 0, 0, 0]) != 0:
            hb_free_filters(&step.packed)
            raise MemoryError()
        self.count += 1

    cdef hb_step* on_pixels(self, hb_kind kind, const float[:, :, :, ::1] x) except NULL:
        """A step that has no sizes but those of the picture it reads."""
        cdef hb_step* step = self.append(
            kind, sizes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, 0, 0, 0, 0, 0, 0))
        step.in_ = &x[0, 0, 0, 0]
        self.arrays.append(x)
        self.count += 1
        return step

    def threshold(self, const float[:, :, :, ::1] x, threshold, const uint64_t[::1] flip, uint64_t[:, :, :, ::1] bits):
        """bits = (x < threshold) xor flip."""
        cdef hb_step* step = self.on_pixels(HB_THRESHOLD, x)
        step.filters, step.flip, step.out = self.numbers(threshold), &flip[0], &bits[0, 0, 0, 0]
        self.arrays += [flip, bits]

    def max_pool(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y = largest of each 2 x 2 pixels of x."""
        self.on_pixels(HB_MAX_POOL, x).out = &y[0, 0, 0, 0]
        self.arrays.append(y)

    def upsample_add(self, const float[:, :, :, ::1] x, float[:, :, :, ::1] y):
        """y += x, each pixel of x four times."""
        self.on_pixels(HB_UPSAMPLE_ADD, x).out = &y[0, 0, 0, 0]
        self.arrays.append(y)

    cdef hb_pixels* pixels(self, hb_pixels_kind kind, const float[:, :, :, :] x, float[:, :, :, :] y) except NULL:
        """A step of csrc/pixels.h; x and y in rows."""
        cdef hb_pixels* work = &self.append(HB_PIXELS, sizes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).pixels
        work.kind, work.batch, work.height, work.width = kind, x.shape[0], x.shape[1], x.shape[2]
        work.channels, work.x, work.y = x.shape[3], &x[0, 0, 0, 0], &y[0, 0, 0, 0]
        work.x_step, work.y_step = x.strides[2] // sizeof(float), y.strides[2] // sizeof(float)
        self.arrays += [x, y]
        self.count += 1
        return work

    def line(self, const float[:, :, :, :] x, scale, shift, sign, float[:, :, :, :] y):
        """y = max(scale x + shift, 0) or, with `sign`, the sign of scale x + shift."""
        cdef hb_pixels* work = self.pixels(HB_LINE, x, y)
        work.scale, work.shift, work.sign = self.numbers(scale), self.numbers(shift), sign

    def add(self, const float[:, :, :, :] x, const float[:, :, :, :] other, float[:, :, :, :] y):
        """y = x + other."""
        cdef hb_pixels* work = self.pixels(HB_ADD, x, y)
        work.other, work.other_step = &other[0, 0, 0, 0], other.strides[2] // sizeof(float)
        self.arrays.append(other)

    def copy(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = x."""
        self.pixels(HB_ADD, x, y)

    def avg_pool(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = mean of each 2 x 2 pixels of x."""
        self.pixels(HB_AVG_POOL, x, y)

    def upsample(self, const float[:, :, :, :] x, float[:, :, :, :] y):
        """y = each pixel of x four times."""
        self.pixels(HB_UPSAMPLE, x, y)

    def __len__(self):
        return self.count

    def run(self):
        """All steps in order."""
        cdef int status
        with nogil:
            status = hb_run_plan(wide, self.steps, self.count)
        check(status)
