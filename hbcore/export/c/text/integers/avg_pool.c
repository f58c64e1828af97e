/* y = the sum of each 2 x 2 pixels of x (height, width), moved */
static void avg_pool(const int32_t *x, int32_t x_down, int32_t height, int32_t width, int32_t channels, int32_t *y)
{
    const int64_t half = x_down > 0 ? (int64_t)1 << (x_down - 1) : 0;
    for (int32_t oy = 0; oy < height / 2; oy++)
        for (int32_t ox = 0; ox < width / 2; ox++, y += channels) {
            const int32_t *a = x + (2 * oy * width + 2 * ox) * channels, *b = a + width * channels;
            for (int32_t c = 0; c < channels; c++) {
                int64_t v = (int64_t)a[c] + a[channels + c] + b[c] + b[channels + c] + half;
                if (x_down < 0)
                    v *= (int64_t)1 << -x_down;
                else
                    v = v < 0 ? ~(~v >> x_down) : v >> x_down;
                y[c] = (int32_t)v;
            }
        }
}

