/* ---------------------------------------------------------------------------------------- after the sums
 *
 * Numbers are whole: q stands for q / 2^e, with one e for all of a buffer. moved(v, n) is v / 2^n, rounded to the nearest,
 * halves up, or 2^-n v. What becomes of each sum v of filter f, in this order; what is NULL or 0 is left out:
 *
 *     v = moved(factor v, down),   v = v + term,   v = max(v, 0),   v = v > 0 ? v : moved(slope v, slope_down),
 *     v = moved(scale v, scale_down) + offset,   v = max(v, 0),
 *     bit of the next convolution = (v < threshold) xor flip,   y = moved(v, y_down) + moved(skip, skip_down)
 *
 * Nothing overflows, whatever the picture: see what ${name}.h says about it.
 */
/* Each step is compiled once, not for some layers apart: constants are then as large as the plan says. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define HB_STEP static __attribute__((noipa))
#else
#define HB_STEP static
#endif

typedef struct {
    const int32_t *factor, *term, *slope, *scale, *offset, *threshold;
    const uint32_t *flip;
    int32_t down, slope_down, scale_down, y_down, skip_down;
    int relu, relu_last;
} ending;

/* Where results go: numbers, `step` from one pixel to the next, plus those of a skip path; and bits. NULL for none. */
typedef struct {
    int32_t *y;
    const int32_t *skip;
    uint32_t *bits;
    int32_t y_step, skip_step;
} target;

static inline int32_t moved(int32_t v, int32_t down)
{
    if (down <= 0)
        return v * (int32_t)(1u << -down);
    v += (int32_t)(1u << down >> 1);
    return v < 0 ? ~(~v >> down) : v >> down; /* C leaves open how a negative number is shifted */
}

/* The same of a product. */
static inline int32_t product(int32_t a, int32_t b, int32_t down)
{
    int64_t v = (int64_t)a * b + (down ? (int64_t)1 << (down - 1) : 0);
    return (int32_t)(v < 0 ? ~(~v >> down) : v >> down);
}

/* A sum of filter f, up to the comparison. */
static inline int32_t end_sum(const ending *e, int32_t v, int32_t f)
{
    v = e->down ? product(v, e->factor[f], e->down) : v * e->factor[f];
    if (e->term)
        v += e->term[f];
    if (e->relu && v < 0)
        v = 0;
    if (e->slope && v <= 0)
        v = product(v, e->slope[f], e->slope_down);
    if (e->scale)
        v = product(v, e->scale[f], e->scale_down) + e->offset[f];
    return e->relu_last && v < 0 ? 0 : v;
}

/* Filters f ... f + count - 1 of one pixel. */
static inline void finish(const ending *e, const target *to, const int32_t *sums, int32_t pixel, int32_t f, int32_t count,
                          int32_t filters)
{
    uint32_t below = 0;
    for (int32_t k = 0; k < count; k++) {
        int32_t v = end_sum(e, sums[k], f + k);
        if (to->bits)
            below |= (uint32_t)(v < e->threshold[f + k]) << k;
        if (to->y) {
            int32_t skip = to->skip ? moved(to->skip[pixel * to->skip_step + f + k], e->skip_down) : 0;
            to->y[pixel * to->y_step + f + k] = moved(v, e->y_down) + skip;
        }
    }
    if (to->bits) {
        uint32_t *word = to->bits + pixel * ((filters + 31) / 32) + f / 32;
        if (f % 32 == 0)
            *word = e->flip[f / 32];
        *word ^= below << f % 32;
    }
}

