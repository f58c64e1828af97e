/* bits = (x < limit) xor flip */
HB_STEP void threshold(const int32_t *x, int32_t pixels, int32_t channels, const int32_t *limit, const uint32_t *flip,
                       uint32_t *bits)
{
    for (int32_t p = 0; p < pixels; p++, x += channels)
        for (int32_t c = 0; c < channels; c += 32, bits++) {
            *bits = flip[c / 32];
            for (int32_t k = 0; k < 32 && c + k < channels; k++)
                *bits ^= (uint32_t)(x[c + k] < limit[c + k]) << k;
        }
}

