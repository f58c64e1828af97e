/* e^x for x <= 0: x = k ln 2 + r with r at most half of ln 2, and the series of e^r. 0 where x is no number. */
static inline double exponential(double x)
{
    static const double series[] = {${series}};
    if (!(x > -700.0))
        return 0.0;
    int32_t k = (int32_t)(x * 1.4426950408889634 - 0.5);
    double r = x - k * 6.93147180369123816490e-01 - k * 1.90821492927058770002e-10, sum = 0.0;
    for (uint32_t n = 0; n < sizeof series / sizeof *series; n++)
        sum = sum * r + series[n];
    return sum * power_of_two(k);
}

/* What a map says: a probability, of which the network gives the logit. */
static inline float value_of(float map)
{
    float e = (float)exponential(map < 0.0f ? (double)map : -(double)map), sum = (float)(1.0f + e);
    return (float)((map < 0.0f ? e : 1.0f) / sum);
}

