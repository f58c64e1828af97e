/* y = x, each with steps of its own from pixel to pixel */
static void copy(const float *x, int32_t x_step, float *y, int32_t y_step, int32_t pixels, int32_t channels)
{
    for (int32_t p = 0; p < pixels; p++, x += x_step, y += y_step)
        memcpy(y, x, (size_t)channels * sizeof *y);
}

