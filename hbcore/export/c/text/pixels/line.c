/* y = max(scale x + shift, 0) or, with `sign`, the sign of scale x + shift */
HB_STEP void line(const float *x, int32_t x_step, int32_t pixels, int32_t channels, const float *scale,
                 const float *shift, int sign, float *y)
{
    for (int32_t p = 0; p < pixels; p++, x += x_step, y += channels)
        for (int32_t c = 0; c < channels; c++) {
            float v = (float)(scale[c] * x[c]) + shift[c];
            y[c] = sign ? (v < 0.0f ? -1.0f : 1.0f) : (v > 0.0f ? v : 0.0f);
        }
}

