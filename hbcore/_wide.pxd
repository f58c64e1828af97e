# cython: language_level=3
"""What _wide.pyx needs of csrc/."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from "csrc/kernels.h":
    ctypedef struct hb_conv:
        Py_ssize_t batch, height, width, channels
        Py_ssize_t kernel_h, kernel_w, stride, pad_h, pad_w
        Py_ssize_t out_h, out_w, filters

    ctypedef struct hb_epilogue:
        const float *alpha
        const float *bias
        const float *slope
        const float *scale
        const float *shift
        const float *threshold
        const float *skip
        bint relu, relu_last
        const uint64_t *flip
        uint64_t *bits
        float *y
        Py_ssize_t skip_step, y_step

    enum: HB_PAD

    ctypedef struct hb_filters:
        pass

    ctypedef struct hb_part:
        const float *x
        Py_ssize_t width, step

    ctypedef struct hb_kernels:
        const char* name
        Py_ssize_t lanes
        uint64_t (*count_rounds)(Py_ssize_t) nogil
        int (*conv2d)(const hb_conv*, const float*, const uint64_t*, const float*, const hb_epilogue*) nogil
        int (*conv2d_weight_gradient)(const hb_conv*, const float*, const uint64_t*, const float*, float*) nogil
        int (*sign_gradient)(const hb_conv*, const float*, Py_ssize_t, const float*, const uint8_t*, float*) nogil
        int (*filter_gradient)(const hb_conv*, const uint64_t*, const float*, Py_ssize_t, float*) nogil
        int (*binary_conv2d)(const hb_conv*, const uint64_t*, const hb_filters*, const hb_epilogue*) nogil
        int (*centred_sums)(Py_ssize_t, Py_ssize_t, const float*, const float*, double*, double*) nogil
        int (*norm_sign)(Py_ssize_t, Py_ssize_t, const float*, const float*, const float*, uint64_t*, uint64_t*) nogil
        int (*norm_sums)(Py_ssize_t, Py_ssize_t, const float*, const float*, const uint64_t*, const float*,
                         double*, double*) nogil
        int (*norm_smooth)(Py_ssize_t, Py_ssize_t, const float*, const float*, const float*, float, float*) nogil
        int (*smooth_backward)(Py_ssize_t, Py_ssize_t, const float*, float, float*) nogil
        int (*prelu)(Py_ssize_t, Py_ssize_t, const float*, const float*, float*) nogil
        int (*prelu_backward)(Py_ssize_t, Py_ssize_t, const float*, const float*, const float*, Py_ssize_t, float*,
                              double*) nogil
        int (*max_pool)(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*, uint8_t*) nogil
        int (*max_pool_backward)(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const uint8_t*, const float*,
                                 float*) nogil
        int (*join)(Py_ssize_t, const hb_part*, Py_ssize_t, const float*, Py_ssize_t, float*, Py_ssize_t) nogil
        int (*norm_backward)(Py_ssize_t, Py_ssize_t, const float*, const float*, const uint64_t*, const float*,
                             const float*, const float*, const float*, Py_ssize_t, float*) nogil

    const hb_kernels* hb_choose(const char* name)

cdef extern from "csrc/unit.h":
    ctypedef struct hb_unit:
        hb_conv size
        const float *x
        const float *gamma
        const float *w
        uint64_t *signs
        uint64_t *inside
        float *alpha
        float *mean
        float *variance
        float *r

    int hb_unit_forward(const hb_kernels*, hb_unit*, const float* beta, float eps, float* y) nogil
    int hb_unit_backward(const hb_kernels*, const hb_unit*, const float*, Py_ssize_t, const float*, Py_ssize_t, float* dx,
                         float* dgamma, float* dbeta, float* dw) nogil

cdef extern from "csrc/pool.h":
    void hb_set_threads(int count) nogil

cdef extern from "csrc/panels.h":
    float* hb_float_panels(const float*, Py_ssize_t terms, Py_ssize_t filters, Py_ssize_t width) nogil
    int hb_make_filters(hb_filters*, const hb_kernels*, const hb_conv*, const uint64_t*) nogil
    void hb_free_filters(hb_filters*) nogil
    uint8_t* hb_sign_panels(const float*, Py_ssize_t taps, Py_ssize_t channels, Py_ssize_t filters,
                            Py_ssize_t width) nogil

cdef extern from "csrc/pixels.h":
    ctypedef enum hb_pixels_kind:
        HB_LINE, HB_AFFINE, HB_RECTIFY, HB_WHERE, HB_ADD, HB_SUM_POOL, HB_AVG_POOL, HB_UPSAMPLE

    ctypedef struct hb_pixels:
        hb_pixels_kind kind
        Py_ssize_t batch, height, width, channels
        const float *x
        const float *other
        const float *scale
        const float *shift
        bint sign
        float *y
        Py_ssize_t x_step, other_step, y_step

    void hb_run_pixels(const hb_pixels*) nogil

cdef extern from "csrc/plan.h":
    ctypedef enum hb_kind:
        HB_CONV2D, HB_BINARY_CONV2D, HB_THRESHOLD, HB_MAX_POOL, HB_UPSAMPLE_ADD, HB_PIXELS

    ctypedef struct hb_step:
        hb_kind kind
        hb_conv size
        const void* in_ "in"
        const void* filters
        hb_filters packed
        const uint64_t* flip
        void* out
        hb_epilogue end
        hb_pixels pixels

    int hb_run_plan(const hb_kernels*, const hb_step*, Py_ssize_t) nogil

cdef extern from "csrc/memory.h":
    void hb_keep_memory(int keep)
