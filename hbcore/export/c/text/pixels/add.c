/* y = x + other, each with steps of its own from pixel to pixel */
static void add(const float *x, int32_t x_step, const float *other, int32_t other_step, float *y, int32_t y_step,
                int32_t pixels, int32_t channels)
{
    for (int32_t p = 0; p < pixels; p++, x += x_step, other += other_step, y += y_step)
        for (int32_t c = 0; c < channels; c++)
            y[c] = x[c] + other[c];
}

