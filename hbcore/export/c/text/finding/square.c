/* ------------------------------------------------------------------------------- a square of a photograph
 *
 * In float64 and in whole numbers, product by product and sum by sum as in Python: the same bytes.
 */
typedef struct {
    const uint8_t *pixels;
    size_t stride;
    int32_t height, width;
} photograph;

typedef struct {
    double x, y, side; /* the centre, in pixels of the photograph */
} square;

static int32_t lower(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t higher(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* The nearest whole number, of two the even one. */
static double rounded(double v)
{
    const double whole = 4503599627370496.0; /* 2^52, from which on all are */
    if (v >= whole || v <= -whole)
        return v;
    return v < 0.0 ? (double)(v - whole) + whole : (double)(v + whole) - whole;
}

static int32_t downwards(double v)
{
    int32_t whole = (int32_t)v;
    return whole - (v < whole);
}

static int32_t upwards(double v)
{
    return -downwards(-v);
}

/* Where each of `size` pixels out of `length` begins in these, and the weights of a triangle for those that it is made
 * of, in 2^-22: rows of as many as are given back. */
static int32_t triangles(int32_t length, int32_t size, int32_t *first, uint32_t *weights)
{
    double step = (double)length / size, reach = step > 1.0 ? step : 1.0;
    int32_t taps = length == size ? 1 : lower(2 * upwards(reach) + 1, length);
    for (int32_t i = 0; i < size; i++, weights += taps) {
        double centre = (i + 0.5) * step, sum = 0.0;
        first[i] = length == size ? i : lower(higher(downwards(centre - reach + 0.5), 0), length - taps);
        for (int pass = 0; pass < 2; pass++) /* the sum first */
            for (int32_t k = 0; k < taps; k++) {
                double away = (first[i] + k + 0.5 - centre) / reach;
                double weight = away < 0.0 ? 1.0 + away : 1.0 - away;
                weight = weight > 0.0 ? weight : 0.0;
                if (pass)
                    weights[k] = (uint32_t)(weight / sum * 4194304.0 + 0.5);
                else
                    sum += weight;
            }
    }
    return taps;
}

/* A part of a photograph made smaller, of which a row is computed when it is asked for; from the top downwards. */
typedef struct {
    const uint8_t *pixels; /* of the part */
    size_t stride;
    int32_t height, width; /* when smaller */
    int32_t across_taps, down_taps, *across_first, *down_first;
    uint32_t *across, *down;
    uint8_t *ring, *rows[2]; /* the last rows of the part, made narrower; the last two of the smaller one */
    int32_t next, held[2];   /* the row of the part that comes next; those in `rows` */
} smaller;

static void make_narrower(const smaller *s, const uint8_t *row, uint8_t *out)
{
    const uint32_t *weights = s->across;
    for (int32_t x = 0; x < s->width; x++, weights += s->across_taps, out += 3) {
        uint32_t red = 1u << 21, green = red, blue = red;
        const uint8_t *p = row + 3 * s->across_first[x];
        for (int32_t k = 0; k < s->across_taps; k++, p += 3) {
            red += weights[k] * p[0];
            green += weights[k] * p[1];
            blue += weights[k] * p[2];
        }
        out[0] = (uint8_t)(red >> 22), out[1] = (uint8_t)(green >> 22), out[2] = (uint8_t)(blue >> 22);
    }
}

static const uint8_t *row_of(smaller *s, int32_t y)
{
    uint8_t *out = s->rows[y & 1];
    if (s->held[y & 1] == y)
        return out;
    int32_t first = s->down_first[y], line = 3 * s->width;
    const uint32_t *weights = s->down + y * s->down_taps;
    for (s->next = higher(s->next, first); s->next < first + s->down_taps; s->next++)
        make_narrower(s, s->pixels + (size_t)s->next * s->stride, s->ring + s->next % s->down_taps * line);
    for (int32_t i = 0; i < line; i++) {
        uint32_t sum = 1u << 21;
        for (int32_t k = 0; k < s->down_taps; k++)
            sum += weights[k] * s->ring[(first + k) % s->down_taps * line + i];
        out[i] = (uint8_t)(sum >> 22);
    }
    s->held[y & 1] = y;
    return out;
}

/* Whole numbers behind one another in memory. */
static void *taken(uint8_t **memory, int32_t count, size_t size)
{
    void *begin = *memory;
    *memory += ((size_t)count * size + 7) / 8 * 8;
    return begin;
}

/* A square as size x size pixels, black beyond the photograph: bilinear, and from more than 1.5 pixels of it for one on
 * made smaller first, to these 1.5. memory: ${work} bytes. */
static void extract(const photograph *from, const square *of, int32_t size, uint8_t *out, uint8_t *memory)
{
    double reach = of->side / 2, x = of->x + 0.5, y = of->y + 0.5, scale = of->side / size, shrink = scale / 1.5;
    int32_t margin = 2 + upwards(scale); /* what filters need around it */
    int32_t left = higher(0, downwards(x - reach) - margin), right = lower(from->width, upwards(x + reach) + margin);
    int32_t top = higher(0, downwards(y - reach) - margin), bottom = lower(from->height, upwards(y + reach) + margin);
    memset(out, 0, (size_t)(3 * size * size));
    if (left >= right || top >= bottom)
        return;
    int32_t height = bottom - top, width = right - left;
    smaller s = {from->pixels + (size_t)top * from->stride + (size_t)(3 * left), from->stride, height, width,
                 0, 0, NULL, NULL, NULL, NULL, NULL, {NULL, NULL}, 0, {-1, -1}};
    if (shrink > 1.0) {
        s.height = higher(1, (int32_t)rounded(height / shrink));
        s.width = higher(1, (int32_t)rounded(width / shrink));
    }
    s.rows[0] = taken(&memory, s.width, 3);
    s.rows[1] = taken(&memory, s.width, 3);
    s.across_first = taken(&memory, s.width, sizeof(int32_t));
    s.down_first = taken(&memory, s.height, sizeof(int32_t));
    s.across = (uint32_t *)(void *)memory;
    s.across_taps = triangles(width, s.width, s.across_first, s.across);
    taken(&memory, s.width * s.across_taps, sizeof(uint32_t));
    s.down = (uint32_t *)(void *)memory;
    s.down_taps = triangles(height, s.height, s.down_first, s.down);
    taken(&memory, s.height * s.down_taps, sizeof(uint32_t));
    s.ring = memory;

    double across = (double)s.width / width, down = (double)s.height / height;
    double step_x = rounded(scale * across * 1e9) / 1e9, step_y = rounded(scale * down * 1e9) / 1e9;
    double from_x = rounded((x - scale * (size / 2.0) - left) * across * 1e9) / 1e9;
    double from_y = rounded((y - scale * (size / 2.0) - top) * down * 1e9) / 1e9;
    for (int32_t i = 0; i < size; i++) {
        double v = step_y * (i + 0.5) + from_y;
        if (!(v >= 0.0 && v < s.height))
            continue;
        v -= 0.5;
        int32_t first = downwards(v);
        double dy = v - first;
        const uint8_t *upper = row_of(&s, higher(first, 0)), *under = row_of(&s, lower(first + 1, s.height - 1));
        for (int32_t j = 0; j < size; j++) {
            double u = step_x * (j + 0.5) + from_x;
            if (!(u >= 0.0 && u < s.width))
                continue;
            u -= 0.5;
            int32_t column = downwards(u), a = 3 * higher(column, 0), b = 3 * lower(column + 1, s.width - 1);
            double dx = u - column;
            for (int32_t c = 0; c < 3; c++, a++, b++) {
                double above = upper[a] + (upper[b] - (double)upper[a]) * dx;
                double below = under[a] + (under[b] - (double)under[a]) * dx;
                out[3 * (i * size + j) + c] = (uint8_t)(above + (below - above) * dy);
            }
        }
    }
}

