/* Signs with signs. Taps outside of the picture are left out, and counted as no factors. See `target` for the rest. */
HB_STEP void binary_conv2d(const binary_layer *layer, const uint32_t *x, int32_t *y, int32_t y_step, const int32_t *skip,
                           int32_t skip_step, uint32_t *bits)
{
    const target to = {y, skip, bits, y_step, skip_step};
    const size *s = &layer->size;
    const int32_t group = s->kernel * s->kernel * ((s->channels + 31) / 32) * GROUP; /* words of eight filters */
    for (int32_t oy = 0; oy < s->out_height; oy++)
        for (int32_t ox = 0; ox < s->out_width; ox++) {
            const window seen = window_of(layer, x, oy, ox);
            for (int32_t f = 0; f < s->filters; f += GROUP) {
                uint32_t differing[GROUP] = {0};
                int32_t v[GROUP], count = s->filters - f < GROUP ? s->filters - f : GROUP;
                count_window(differing, &seen, f / GROUP * group);
                for (int32_t k = 0; k < GROUP; k++)
                    v[k] = seen.factors - 2 * (int32_t)differing[k];
                finish(&layer->end, &to, v, oy * s->out_width + ox, f, count, s->filters);
            }
        }
}

