static ${number} larger(${number} a, ${number} b)
{
    return b > a ? b : a;
}

/* y = the largest of each 2 x 2 pixels of x (height, width) */
static void max_pool(const ${number} *x, int32_t height, int32_t width, int32_t channels, ${number} *y)
{
    for (int32_t oy = 0; oy < height / 2; oy++)
        for (int32_t ox = 0; ox < width / 2; ox++, y += channels) {
            const ${number} *a = x + (2 * oy * width + 2 * ox) * channels, *b = a + width * channels;
            for (int32_t c = 0; c < channels; c++)
                y[c] = larger(larger(a[c], a[channels + c]), larger(b[c], b[channels + c]));
        }
}

