/* -------------------------------------------------------------------------------------- from maps to boxes
 *
 * A pixel that no neighbour exceeds, in its own map and the two beside it, is a box. Through the logarithms of it and its
 * two neighbours goes a parabola, in x, in y and in size, whose top is the box's.
 */
enum { BOXES = ${boxes}, SPOTS = 2 * BOXES };

typedef struct {
    double x0, y0, x1, y1, confidence;
} box;

/* Which of `count` boxes, up to SPOTS, stay where of two that are the same thing the surer one is kept, the surest first. */
static int32_t separate(const box *all, int32_t count, int32_t *chosen)
{
    uint8_t seen[SPOTS] = {0};
    int32_t kept = 0;
    for (int32_t n = 0; n < count; n++) {
        int32_t best = -1, same = 0;
        for (int32_t i = 0; i < count; i++)
            if (!seen[i] && (best < 0 || all[i].confidence > all[best].confidence))
                best = i;
        seen[best] = 1;
        const box *b = &all[best];
        double area = (b->x1 - b->x0) * (b->y1 - b->y0);
        for (int32_t i = 0; i < kept && !same; i++) {
            const box *a = &all[chosen[i]];
            double other = (a->x1 - a->x0) * (a->y1 - a->y0);
            double width = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
            double height = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
            double shared = (width > 0.0 ? width : 0.0) * (height > 0.0 ? height : 0.0);
            same = shared > ${overlap} * (other < area ? other : area);
        }
        if (!same)
            chosen[kept++] = best;
    }
    return kept;
}

/* What a pixel of a map holds, 0 beside it. */
static float likely(const float *maps, int32_t height, int32_t width, int32_t y, int32_t x, int32_t k)
{
    int inside = y >= 0 && y < height && x >= 0 && x < width && k >= 0 && k < FINDER_MAPS;
    return inside ? maps[(y * width + x) * FINDER_MAPS + k] : 0.0f;
}

static int is_top(const float *maps, int32_t height, int32_t width, int32_t y, int32_t x, int32_t k)
{
    float v = likely(maps, height, width, y, x, k);
    for (int32_t n = 0; n < 27; n++)
        if (likely(maps, height, width, y + n / 9 - 1, x + n / 3 % 3 - 1, k + n % 3 - 1) > v)
            return 0;
    return 1;
}

/* Where the parabola through three values has its top, within half a step of the middle one; how much higher is added. */
static double summit(const float three[3], double *high)
{
    double logs[3];
    for (int32_t n = 0; n < 3; n++)
        logs[n] = logarithm((double)(three[n] > ${dark}f ? three[n] : ${dark}f));
    double slope = (logs[2] - logs[0]) / 2, bend = logs[0] - 2 * logs[1] + logs[2];
    bend = bend < -1e-6 ? bend : -1e-6;
    double step = clipped(-slope / bend, -0.5, 0.5);
    *high += step * (slope + step * bend / 2);
    return step;
}

/* At most BOXES boxes in maps (height, width, FINDER_MAPS), in pixels of the finder's picture, the surest first. spots:
 * memory for SPOTS, chosen: for as many. */
static int32_t boxes_in(const float *maps, int32_t height, int32_t width, box *found, box *spots, int32_t *chosen)
{
    int32_t count = 0, boxes = 0;
    for (int32_t i = 0; i < height * width * FINDER_MAPS; i++) {
        int32_t k = i % FINDER_MAPS, x = i / FINDER_MAPS % width, y = i / FINDER_MAPS / width, at = count;
        if (!(maps[i] >= ${faint}f) || !is_top(maps, height, width, y, x, k))
            continue;
        for (; at > 0 && spots[at - 1].confidence < (double)maps[i]; at--) /* in order; the last falls off */
            if (at < SPOTS)
                spots[at] = spots[at - 1];
        if (at < SPOTS) {
            spots[at].x0 = x, spots[at].y0 = y, spots[at].x1 = k, spots[at].confidence = (double)maps[i];
            count = lower(count + 1, SPOTS);
        }
    }
    for (int32_t n = 0; n < count; n++) {
        int32_t x = (int32_t)spots[n].x0, y = (int32_t)spots[n].y0, k = (int32_t)spots[n].x1;
        float three[3][3];
        for (int32_t i = -1; i < 2; i++) {
            three[0][i + 1] = likely(maps, height, width, y + i, x, k);
            three[1][i + 1] = likely(maps, height, width, y, x + i, k);
            three[2][i + 1] = likely(maps, height, width, y, x, k + i);
        }
        double high = logarithm(spots[n].confidence);
        double v = y + summit(three[0], &high), u = x + summit(three[1], &high), place = k + summit(three[2], &high);
        double octaves = place / ${octave}, whole = downwards(octaves) + 1;
        double longer = ${smallest} * (exponential((octaves - whole) * 0.6931471805599453) * power_of_two((int32_t)whole));
        double half = longer / 2, centre_x = (u + 0.5) * FINDER_STRIDE - 0.5, centre_y = (v + 0.5) * FINDER_STRIDE - 0.5;
        box b = {centre_x - half, centre_y - half, centre_x + half, centre_y + half, high < 0.0 ? exponential(high) : 1.0};
        spots[n] = b;
    }
    int32_t apart = separate(spots, count, chosen);
    for (int32_t n = 0; n < apart && n < BOXES; n++)
        if (spots[chosen[n]].confidence >= ${lead})
            found[boxes++] = spots[chosen[n]];
    return boxes;
}

