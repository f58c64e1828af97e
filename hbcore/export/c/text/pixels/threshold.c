/* bits = (x < limit) xor flip */
static void threshold(const float *x, int32_t pixels, int32_t channels, const float *limit, const uint32_t *flip,
                      uint32_t *bits)
{
    for (int32_t p = 0; p < pixels; p++, x += channels)
        for (int32_t c = 0; c < channels; c += 32, bits++) {
            *bits = flip[c / 32];
            int32_t count = channels - c < 32 ? channels - c : 32, groups = count / GROUP * GROUP;
            for (int32_t k = 0; k < groups; k += GROUP)
                *bits ^= below_eight(x + c + k, limit + c + k) << k;
            for (int32_t k = groups; k < count; k++)
                *bits ^= (uint32_t)(x[c + k] < limit[c + k]) << k;
        }
}

