/* ------------------------------------------------------------------------------------- from maps to points
 *
 * Each map is smoothed with the Gaussian of the training, and the largest place taken; around it, rows and columns of
 * the map itself are summed, and a parabola is fitted to the logarithms of these sums: its top is the point.
 */
enum { SIDE = ${NAME}_MAP_WIDTH, REACH = ${reach}, WINDOW = 2 * ${radius} + 1 };
typedef char double_must_have_64_bits[sizeof(double) == 8 ? 1 : -1];
static const double SIGMA = ${sigma};
static const double gaussian[REACH + 1] = {
    ${gaussian}
};

static double power_of_two(int32_t k)
{
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ln x for x in (0, 1], not below 2^-1022: x = 2^k m, and the series of ln m in (m - 1) / (m + 1). */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t k = (int32_t)(bits >> 52) - 1023;
    double m = x / power_of_two(k);
    if (m > 1.4142135623730951) {
        m /= 2.0;
        k++;
    }
    double s = (m - 1.0) / (m + 1.0), sum = 0.0;
    for (int32_t n = 25; n > 0; n -= 2)
        sum = sum * s * s + 1.0 / n;
    return 2.0 * s * sum + k * 0.6931471805599453;
}

${value_of}/* The number that a map holds. */
static float told(${number} map)
{
    return ${told};
}

static double clipped(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* y[c, i] = sum over j of gaussian[|i - j|] x[j, c], divided by the sum of those gaussians: smoothed down the columns and
 * turned, so that to do it twice is to smooth both ways. Columns are taken sixteen at a time. */
static void smoothed(const double *x, double *y)
{
    enum { COLUMNS = SIDE < 16 ? SIDE : 16 };
    for (int32_t i = 0; i < SIDE; i++) {
        int32_t first = i > REACH ? i - REACH : 0, last = i + REACH < SIDE ? i + REACH : SIDE - 1;
        double weights = 0.0;
        for (int32_t j = first; j <= last; j++)
            weights += gaussian[j < i ? i - j : j - i];
        for (int32_t left = 0; left < SIDE; left += COLUMNS) {
            double sum[COLUMNS] = {0.0};
            int32_t from = left + COLUMNS > SIDE ? SIDE - COLUMNS : left; /* the last may overlap */
            for (int32_t j = first; j <= last; j++)
                for (int32_t c = 0; c < COLUMNS; c++)
                    sum[c] += gaussian[j < i ? i - j : j - i] * x[j * SIDE + from + c];
            for (int32_t c = 0; c < COLUMNS; c++)
                y[(from + c) * SIDE + i] = sum[c] / weights;
        }
    }
}

/* The centre of the Gaussian behind a profile around pixel `peak`. */
static double centre(const double *profile, int32_t peak)
{
    double weight[WINDOW], logs[WINDOW], highest = 0.0, total = 0.0, middle = 0.0, variance = 0.0;
    for (int32_t i = 0; i < WINDOW; i++)
        highest = profile[i] > highest ? profile[i] : highest;
    if (highest <= 0.0)
        return peak;
    for (int32_t i = 0; i < WINDOW; i++) {
        int told = profile[i] > 1e-3 * highest;
        weight[i] = told ? profile[i] / highest : 0.0;
        logs[i] = told ? logarithm(weight[i]) : 0.0;
        total += weight[i];
    }
    for (int32_t i = 0; i < WINDOW; i++) {
        weight[i] /= total;
        middle += weight[i] * ((i - WINDOW / 2) / SIGMA);
    }
    for (int32_t i = 0; i < WINDOW; i++) {
        double u = (i - WINDOW / 2) / SIGMA - middle;
        variance += weight[i] * u * u;
    }
    double uu = variance, uq = 0.0, qq = 0.05, ul = 0.0, ql = -0.5 * 0.05; /* a weak pull towards the width of sigma */
    for (int32_t i = 0; i < WINDOW; i++) {
        double u = (i - WINDOW / 2) / SIGMA - middle, square = u * u - variance;
        uq += weight[i] * u * square;
        qq += weight[i] * square * square;
        ul += weight[i] * u * logs[i];
        ql += weight[i] * square * logs[i];
    }
    double det = uu * qq - uq * uq, step = SIGMA * middle;
    if (det > 1e-12) {
        double slope = (qq * ul - uq * ql) / det, curvature = (uu * ql - uq * ul) / det;
        if (curvature < -0.05)
            step -= SIGMA * slope / (2.0 * curvature);
    }
    double reach = SIGMA > 1.0 ? SIGMA : 1.0;
    return clipped(peak + clipped(step, -reach, reach), -0.5, SIDE - 0.5);
}

/* The point of map k; memory: of three maps. */
static ${name}_point point_of(const ${number} *maps, int32_t k, double *memory)
{
    double *plane = memory, *turned = plane + SIDE * SIDE, *smooth = turned + SIDE * SIDE;
    double lowest = value_of(told(maps[k])), highest = 0.0, largest = 0.0;
    double across[WINDOW] = {0.0}, down[WINDOW] = {0.0};
    int32_t peak = 0;
    for (int32_t p = 0; p < SIDE * SIDE; p++) {
        plane[p] = value_of(told(maps[p * ${NAME}_MAPS + k]));
        lowest = plane[p] < lowest ? plane[p] : lowest;
    }
    for (int32_t p = 0; p < SIDE * SIDE; p++)
        plane[p] -= lowest;
    smoothed(plane, turned);
    smoothed(turned, smooth);
    for (int32_t p = 0; p < SIDE * SIDE; p++)
        highest = smooth[p] > highest ? smooth[p] : highest;
    while (smooth[peak] < highest * (1.0 - 1e-5)) /* the first of equals, but for rounding */
        peak++;
    int32_t row = peak / SIDE, column = peak % SIDE;
    for (int32_t i = 0; i < WINDOW * WINDOW; i++) {
        int32_t y = row + i / WINDOW - WINDOW / 2, x = column + i % WINDOW - WINDOW / 2;
        if (y < 0 || y >= SIDE || x < 0 || x >= SIDE)
            continue;
        double v = plane[y * SIDE + x];
        across[i % WINDOW] += v;
        down[i / WINDOW] += v;
        largest = v > largest ? v : largest;
    }
    ${name}_point point;
    point.x = (float)((centre(across, column) + 0.5) * ${NAME}_STRIDE - 0.5);
    point.y = (float)((centre(down, row) + 0.5) * ${NAME}_STRIDE - 0.5);
    point.score = (float)(lowest + largest);
    return point;
}

static float find(${name}_arena *arena, const picture *shown, ${name}_point *points)
{
    const ${number} *maps = network(arena, shown);
    double sum = 0.0;
    for (int32_t k = 0; k < ${NAME}_MAPS; k++) {
        points[k] = point_of(maps, k, (double *)(void *)(arena->bytes + ${decoding}));
        sum += (double)points[k].score;
    }
    return (float)(sum / ${NAME}_MAPS);
}

