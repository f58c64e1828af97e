/* y = x (height, width), each pixel of x four times; `step` from pixel to pixel of y */
static void upsample(const int32_t *x, int32_t x_down, int32_t height, int32_t width, int32_t channels, int32_t *y,
                     int32_t step)
{
    for (int32_t oy = 0; oy < 2 * height; oy++)
        for (int32_t ox = 0; ox < 2 * width; ox++, y += step)
            for (int32_t c = 0; c < channels; c++)
                y[c] = moved(x[(oy / 2 * width + ox / 2) * channels + c], x_down);
}

