static int32_t larger(int32_t a, int32_t b)
{
    return b > a ? b : a;
}

/* y = the largest of each 2 x 2 pixels of x (height, width) */
static void max_pool(const int32_t *x, int32_t height, int32_t width, int32_t channels, int32_t *y)
{
    for (int32_t oy = 0; oy < height / 2; oy++)
        for (int32_t ox = 0; ox < width / 2; ox++, y += channels) {
            const int32_t *a = x + (2 * oy * width + 2 * ox) * channels, *b = a + width * channels;
            for (int32_t c = 0; c < channels; c++)
                y[c] = larger(larger(a[c], a[channels + c]), larger(b[c], b[channels + c]));
        }
}

