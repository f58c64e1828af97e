typedef struct {
    size size;
    const uint32_t *weights; /* groups of eight filters: (kernel, kernel, words, 8) */
    ending end;
} binary_layer;

/* Where the words that meet the filters lie: `runs` runs of words, in x and in the filters, with so many words from one to
 * the next. */
typedef struct {
    const uint32_t *x, *w;
    int32_t runs, run, x_line, w_line, factors;
} window;

/* What the pixel at (oy, ox) sees: taps outside of the picture are left out. */
static inline window window_of(const binary_layer *layer, const uint32_t *x, int32_t oy, int32_t ox)
{
    const size *s = &layer->size;
    int32_t words = (s->channels + 31) / 32, row = s->kernel * words;
    int32_t top = oy * s->stride - s->padding, left = ox * s->stride - s->padding;
    int32_t i0 = top < 0 ? -top : 0, i1 = s->height - top < s->kernel ? s->height - top : s->kernel;
    int32_t j0 = left < 0 ? -left : 0, j1 = s->width - left < s->kernel ? s->width - left : s->kernel;
    const window found = {
        .x = x + ((top + i0) * s->width + left + j0) * words,
        .w = layer->weights + (i0 * row + j0 * words) * GROUP,
        .runs = i1 - i0,
        .run = (j1 - j0) * words,
        .x_line = s->width * words,
        .w_line = row,
        .factors = (i1 - i0) * (j1 - j0) * s->channels,
    };
    return found;
}

/* differing[k] += bits that differ from filter k of a group that begins `behind` words after the first one. */
static inline void count_window(uint32_t *differing, const window *seen, int32_t behind)
{
    const uint32_t *w = seen->w + behind;
    if (seen->runs * seen->run <= MOST_WORDS) {
        count_eight(differing, seen->x, seen->x_line, w, seen->w_line, seen->runs, seen->run);
        return;
    }
    for (int32_t i = 0; i < seen->runs; i++)
        for (int32_t r = 0; r < seen->run; r += MOST_WORDS)
            count_eight(differing, seen->x + i * seen->x_line + r, 0, w + (i * seen->w_line + r) * GROUP, 0, 1,
                        seen->run - r < MOST_WORDS ? seen->run - r : MOST_WORDS);
}

