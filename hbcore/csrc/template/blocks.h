/* Rows of a picture with their borders; a part of template.h.
 *
 * A convolution looks at an output pixel's neighbourhood as kH runs of kW C numbers:
 *
 *     y[oy, ox] = sum over i, r of  x[stride oy - pad_h + i, C (stride ox - pad_w) + r] w[i, r],   0 <= r < kW C
 *
 * Copied with its zeros around it, a block of the picture gives every output pixel such runs, at one distance from each
 * other: no branch for the border.
 */
typedef struct {
    const float *first; /* of the block */
    ptrdiff_t step;     /* from one kernel row to the next */
    ptrdiff_t run;      /* numbers in a kernel row */
    ptrdiff_t pixels;   /* outputs */
    ptrdiff_t *at;      /* where the neighbourhood of each begins */
} block;

/* +1 and -1 for `pixels` pixels of signs. */
INLINE void fill_from_bits(float *out, const uint64_t *bits, ptrdiff_t pixels, ptrdiff_t channels)
{
    const vi one = (vi)broadcast(1.0f), minus = (vi){0} + INT32_MIN;
    ptrdiff_t words = (channels + 63) / 64;
    for (ptrdiff_t p = 0; p < pixels; p++, bits += words, out += channels) {
        ptrdiff_t c = 0;
        for (; c + LANES <= channels; c += LANES)
            store(out + c, (vf)(one | (spread(bits_at(bits, c)) & minus)));
        for (; c < channels; c++)
            out[c] = (bits[c / 64] >> (c % 64)) & 1 ? -1.0f : 1.0f;
    }
}

/* Bytes of memory that a block of `rows` output rows needs. */
static size_t NAME(block_bytes)(const hb_conv *s, ptrdiff_t rows)
{
    size_t in_rows = (size_t)((rows - 1) * s->stride + s->kernel_h), width = (size_t)(s->width + 2 * s->pad_w);
    size_t numbers = (in_rows * width * (size_t)s->channels + 15) / 16 * 16;
    return numbers * sizeof(float) + (size_t)(rows * s->out_w) * sizeof(ptrdiff_t);
}

/* Output rows y0 ... y0 + rows - 1 of picture n, in `memory` (64-byte aligned, of block_bytes). */
TARGET static block NAME(make_block)(const hb_conv *s, const float *x, const uint64_t *bits, ptrdiff_t n, ptrdiff_t y0,
                                     ptrdiff_t rows, void *memory)
{
    ptrdiff_t c = s->channels, width = s->width + 2 * s->pad_w, words = (c + 63) / 64;
    ptrdiff_t in_rows = (rows - 1) * s->stride + s->kernel_h, top = y0 * s->stride - s->pad_h;
    float *numbers = memory;
    ptrdiff_t *at = (ptrdiff_t *)(numbers + (in_rows * width * c + 15) / 16 * 16);
    for (ptrdiff_t r = 0; r < in_rows; r++) {
        float *row = numbers + r * width * c;
        ptrdiff_t y = top + r, from = (n * s->height + y) * s->width;
        if (y < 0 || y >= s->height) {
            memset(row, 0, (size_t)(width * c) * sizeof *row);
            continue;
        }
        memset(row, 0, (size_t)(s->pad_w * c) * sizeof *row);
        if (x != NULL)
            memcpy(row + s->pad_w * c, x + from * c, (size_t)(s->width * c) * sizeof *row);
        else
            fill_from_bits(row + s->pad_w * c, bits + from * words, s->width, c);
        memset(row + (s->pad_w + s->width) * c, 0, (size_t)(s->pad_w * c) * sizeof *row);
    }
    for (ptrdiff_t oy = 0; oy < rows; oy++)
        for (ptrdiff_t ox = 0; ox < s->out_w; ox++)
            at[oy * s->out_w + ox] = (oy * width + ox) * s->stride * c;
    return (block){numbers, width * c, s->kernel_w * c, rows * s->out_w, at};
}

/* Output rows in a block, so that it stays below `bytes`, and blocks in a batch. */
static ptrdiff_t NAME(block_rows)(const hb_conv *s, size_t bytes)
{
    ptrdiff_t rows = s->out_h;
    while (rows > 1 && NAME(block_bytes)(s, rows) > bytes)
        rows = (rows + 1) / 2;
    return rows;
}

/* Rows without neighbourhoods are cut into at most so many slices, whatever the threads: no sum depends on them. */
enum { SLICES = 8, SLICE_ROWS = 512 };

static ptrdiff_t NAME(slices)(ptrdiff_t rows)
{
    return MAX(1, MIN(SLICES, rows / SLICE_ROWS));
}

/* The rows of a slice of `work`, `step` at a time, up to last - 1. */
#define FOR_SLICE(row, step, work, slice) \
    for (ptrdiff_t row = (work)->rows * (slice) / (work)->slices, last = (work)->rows * ((slice) + 1) / (work)->slices; \
         row < last; row += (step))
