/* y = x, each with steps of its own from pixel to pixel */
static void copy(const int32_t *x, int32_t x_step, int32_t x_down, int32_t *y, int32_t y_step, int32_t pixels,
                 int32_t channels)
{
    for (int32_t p = 0; p < pixels; p++, x += x_step, y += y_step)
        for (int32_t c = 0; c < channels; c++)
            y[c] = moved(x[c], x_down);
}

