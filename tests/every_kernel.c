/* Every kernel on buffers of exactly the right size, at sizes around every remainder: for AddressSanitizer and UBSan, and
 * for instruction sets that this machine can only emulate. Prints for each variant its name, a hash of all bits and
 * binary results, which must be the same everywhere, and a hash of the sums of reals, the same wherever multiply-add is
 * fused. What the results should be is checked elsewhere (test_wide.py). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "panels.h"
#include "pool.h"

static uint64_t exact_hash, real_hash;

static void hash(uint64_t *into, const void *data, size_t bytes)
{
    for (const unsigned char *p = data; bytes--; p++)
        *into = (*into ^ *p) * 0x100000001B3u;
}

static float *floats(ptrdiff_t count)
{
    float *p = malloc((size_t)count * sizeof *p);
    for (ptrdiff_t i = 0; i < count; i++)
        p[i] = (float)(i * 7919 % 23) - 11.0f;
    return p;
}

static uint64_t *words(ptrdiff_t rows, ptrdiff_t channels)
{
    ptrdiff_t each = (channels + 63) / 64;
    uint64_t *p = malloc((size_t)(rows * each) * sizeof *p);
    for (ptrdiff_t i = 0; i < rows * each; i++)
        p[i] = (uint64_t)i * 0x9E3779B97F4A7C15u & (i % each == each - 1 && channels % 64 ? (1ull << channels % 64) - 1 : ~0ull);
    return p;
}

/* Filters (taps, words, filters): tail bits are 0 here too. */
static uint64_t *packed_filters(ptrdiff_t taps, ptrdiff_t channels, ptrdiff_t filters)
{
    ptrdiff_t each = (channels + 63) / 64;
    uint64_t *p = malloc((size_t)(taps * each * filters) * sizeof *p), last = channels % 64 ? (1ull << channels % 64) - 1 : ~0ull;
    for (ptrdiff_t i = 0; i < taps * each * filters; i++)
        p[i] = (uint64_t)i * 0x9E3779B97F4A7C15u & (i / filters % each == each - 1 ? last : ~0ull);
    return p;
}

/* reals: sums of real numbers too, and gradients, which take most of the time. */
static void convolutions(const hb_kernels *k, hb_conv s, int reals)
{
    ptrdiff_t in = s.batch * s.height * s.width, out = s.batch * s.out_h * s.out_w, taps = s.kernel_h * s.kernel_w;
    ptrdiff_t padded = (s.filters + HB_PAD - 1) / HB_PAD * HB_PAD;
    float *x = floats(in * s.channels), *w = floats(taps * s.channels * s.filters), *y = floats(out * s.filters);
    float *dw = floats(taps * s.channels * s.filters), *each = floats(padded);
    uint64_t *bits = words(in, s.channels), *filters = packed_filters(taps, s.channels, s.filters), *signs = words(out, s.filters);
    uint64_t *flip = words(1, s.filters);
    float *panels = hb_float_panels(w, taps * s.channels, s.filters, 2 * k->lanes);
    hb_filters made;
    hb_make_filters(&made, k, &s, filters);
    hb_epilogue ends[4] = {
        {.y = y, .y_step = s.filters},
        {.alpha = each, .y = y, .y_step = s.filters},
        {.alpha = each, .y = y, .y_step = s.filters, .skip = y, .skip_step = s.filters},
        {.alpha = each, .bias = each, .relu = 1, .slope = each, .scale = each, .shift = each, .relu_last = 1,
         .threshold = each, .flip = flip, .bits = signs, .y = y, .y_step = s.filters, .skip = y, .skip_step = s.filters},
    };
    for (int e = 0; e < 4; e++) {
        if (reals && (e != 3 || s.filters <= 64))
            k->conv2d(&s, e == 2 ? NULL : x, bits, panels, e == 3 ? &ends[1] : &ends[e]);
        hash(&real_hash, y, (size_t)(out * s.filters) * sizeof *y);
        if (ends[e].skip != NULL) /* added to something known */
            for (ptrdiff_t i = 0; i < out * s.filters; i++)
                y[i] = (float)(i % 5);
        k->binary_conv2d(&s, bits, &made, &ends[e]);
        hash(&exact_hash, y, (size_t)(out * s.filters) * sizeof *y);
    }
    hash(&exact_hash, signs, (size_t)(out * ((s.filters + 63) / 64)) * sizeof *signs);
    uint8_t *sign_panels = hb_sign_panels(w, taps, s.channels, s.filters, 2 * k->lanes);
    if (reals) {
        k->conv2d_weight_gradient(&s, x, NULL, y, dw);
        hash(&real_hash, dw, (size_t)(taps * s.channels * s.filters) * sizeof *dw);
        k->conv2d_weight_gradient(&s, NULL, bits, y, dw);
        hash(&real_hash, dw, (size_t)(taps * s.channels * s.filters) * sizeof *dw);
    }
    if (reals && s.stride == 1) {
        ptrdiff_t reach = s.kernel_h - 1 - s.pad_h;
        hb_conv back = {s.batch, s.out_h, s.out_w, s.filters, s.kernel_h, s.kernel_w, 1, reach, reach,
                        s.height, s.width, s.channels};
        k->sign_gradient(&back, y, s.filters, each, sign_panels, x);
        hash(&real_hash, x, (size_t)(in * s.channels) * sizeof *x);
        k->filter_gradient(&s, bits, y, s.filters, dw);
        hash(&real_hash, dw, (size_t)(taps * s.channels * s.filters) * sizeof *dw);
    }
    void *all[] = {x, w, y, dw, each, bits, filters, signs, flip, panels, sign_panels};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    hb_free_filters(&made);
}

static void rows(const hb_kernels *k, ptrdiff_t n, ptrdiff_t c)
{
    ptrdiff_t padded = (c + HB_PAD - 1) / HB_PAD * HB_PAD;
    float *x = floats(4 * n * c), *g = floats(4 * n * c), *each = floats(padded), *small = floats(n * c);
    double *a = calloc((size_t)c, sizeof *a), *b = calloc((size_t)c, sizeof *b);
    uint64_t *signs = words(n, c), *inside = words(n, c), *flip = words(1, c);
    k->centred_sums(n, c, x, each, a, b);
    k->norm_sign(n, c, x, each, each, signs, inside);
    hash(&exact_hash, signs, (size_t)(n * ((c + 63) / 64)) * sizeof *signs);
    hash(&exact_hash, inside, (size_t)(n * ((c + 63) / 64)) * sizeof *inside);
    k->norm_sums(n, c, x, g, inside, each, a, b);
    k->norm_sums(n, c, x, g, NULL, each, a, b);
    hash(&real_hash, a, (size_t)c * sizeof *a);
    hash(&real_hash, b, (size_t)c * sizeof *b);
    k->norm_backward(n, c, x, g, inside, each, each, each, NULL, 0, g);
    hash(&exact_hash, g, (size_t)(n * c) * sizeof *g);
    k->norm_smooth(n, c, x, each, each, 0.03f, small);
    hash(&exact_hash, small, (size_t)(n * c) * sizeof *small);
    k->smooth_backward(n, c, small, 0.03f, small);
    hash(&exact_hash, small, (size_t)(n * c) * sizeof *small);
    k->prelu(n, c, x, each, small);
    hash(&exact_hash, small, (size_t)(n * c) * sizeof *small);
    memset(a, 0, (size_t)c * sizeof *a);
    k->prelu_backward(n, c, x, each, g, 2 * c, small, a);
    hash(&exact_hash, small, (size_t)(n * c) * sizeof *small);
    hash(&exact_hash, a, (size_t)c * sizeof *a);
    k->threshold(n, c, x, each, flip, signs);
    hash(&exact_hash, signs, (size_t)(n * ((c + 63) / 64)) * sizeof *signs);
    uint8_t *winner = malloc((size_t)(n * c));
    k->max_pool(1, 2, 2 * n, c, x, small, winner);
    hash(&exact_hash, winner, (size_t)(n * c));
    k->max_pool(1, 2, 2 * n, c, x, small, NULL);
    k->max_pool_backward(1, 2, 2 * n, c, winner, small, g);
    free(winner);
    k->upsample_add(1, 1, n, c, small, x);
    k->join(n, &(hb_part){g, c, c}, 1, x, c, x, c);
    hash(&exact_hash, x, (size_t)(4 * n * c) * sizeof *x);
    void *all[] = {x, g, each, small, a, b, signs, inside, flip};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(void)
{
    const char *names[] = {"amx", "avx512", "avx2", "sse2", "neon"};
    static const ptrdiff_t channels[] = {1, 3, 16, 17, 33, 64, 130}, filters[] = {1, 8, 17, 24, 65};
    static const ptrdiff_t kernels[] = {1, 2, 3, 5};
    hb_set_threads(3);
    for (int v = 0; v < 5; v++) {
        const hb_kernels *k = hb_choose(names[v]);
        if (k == NULL)
            continue;
        exact_hash = real_hash = 0xCBF29CE484222325u;
        for (size_t c = 0; c < 7; c++)
            for (size_t f = 0; f < 5; f++)
                for (size_t n = 0; n < 4; n++)
                    for (ptrdiff_t stride = 1; stride <= 2; stride++) {
                        ptrdiff_t kernel = kernels[n], pad = (ptrdiff_t)(c + f) % kernel, height = 3 + (ptrdiff_t)c % 5;
                        hb_conv s = {2, height, 9, channels[c], kernel, kernel, stride, pad, pad, 0, 0, filters[f]};
                        if (s.height + 2 * pad < kernel)
                            continue;
                        s.out_h = (s.height + 2 * pad - kernel) / stride + 1;
                        s.out_w = (s.width + 2 * pad - kernel) / stride + 1;
                        convolutions(k, s, 1);
                    }
        /* Sizes at which gradients in bytes fill tiles: whole and ragged steps of 64 pixels and of 64 filters. */
        convolutions(k, (hb_conv){2, 8, 12, 70, 3, 3, 1, 1, 1, 8, 12, 64}, 1);
        convolutions(k, (hb_conv){1, 6, 140, 17, 3, 3, 1, 1, 1, 6, 140, 33}, 1);
        convolutions(k, (hb_conv){2, 9, 33, 48, 1, 1, 1, 0, 0, 9, 33, 320}, 1);
        convolutions(k, (hb_conv){1, 9, 16, 5, 5, 5, 1, 2, 2, 9, 16, 128}, 1);
        /* Sizes at which binary convolutions do: bands and blocks of outputs, and panels of filters, whole and ragged. */
        convolutions(k, (hb_conv){1, 19, 37, 34, 3, 3, 1, 1, 1, 19, 37, 40}, 0);
        convolutions(k, (hb_conv){1, 17, 16, 64, 3, 3, 1, 1, 1, 17, 16, 32}, 0);
        convolutions(k, (hb_conv){1, 16, 20, 33, 5, 5, 1, 1, 1, 14, 18, 24}, 0);
        convolutions(k, (hb_conv){1, 16, 17, 290, 1, 1, 1, 0, 0, 16, 17, 65}, 0);
        convolutions(k, (hb_conv){29, 3, 3, 70, 3, 3, 1, 1, 1, 3, 3, 33}, 0);
        /* And in pairs of outputs: rows of an odd one, borders of no pixel and of two. */
        convolutions(k, (hb_conv){1, 19, 37, 128, 3, 3, 1, 1, 1, 19, 37, 40}, 0);
        convolutions(k, (hb_conv){2, 16, 18, 192, 3, 3, 1, 0, 0, 14, 16, 65}, 0);
        convolutions(k, (hb_conv){1, 15, 15, 128, 3, 3, 1, 2, 2, 17, 17, 32}, 0);
        for (ptrdiff_t n = 1; n < 1200; n += 399)
            for (ptrdiff_t c = 1; c < 140; c += 1 + c / 9)
                rows(k, n, c);
        printf("%s %016llx %016llx\n", k->name, (unsigned long long)exact_hash, (unsigned long long)real_hash);
    }
    return 0;
}
