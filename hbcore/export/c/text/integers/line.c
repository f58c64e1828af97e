/* y = what the ending says of x or, with `sign`, -1 where that is below 0, else 1 */
HB_STEP void line(const int32_t *x, int32_t x_step, int32_t pixels, int32_t channels, const ending *e, int sign, int32_t *y)
{
    for (int32_t p = 0; p < pixels; p++, x += x_step, y += channels)
        for (int32_t c = 0; c < channels; c++) {
            int32_t v = end_sum(e, x[c], c);
            y[c] = sign ? (v < 0 ? -1 : 1) : moved(v, e->y_down);
        }
}

