/* ---------------------------------------------------------------------------- from maps to classes of pixels
 *
 * Between the centres of map pixels the maps are interpolated, outside of them continued; the class of the largest is
 * taken, the first of equals.
 */
static int32_t before(int32_t at, float *share)
{
    double place = (at + 0.5) / ${NAME}_STRIDE - 0.5, last = ${NAME}_MAP_WIDTH - 1;
    place = place < 0.0 ? 0.0 : place > last ? last : place;
    int32_t first = (int32_t)place;
    if (first > ${NAME}_MAP_WIDTH - 2)
        first = ${NAME}_MAP_WIDTH > 1 ? ${NAME}_MAP_WIDTH - 2 : 0;
    *share = (float)(place - first);
    return first;
}

/* The number that a map holds. */
static float told(${number} map)
{
    return ${told};
}

static void find(${name}_arena *arena, const picture *shown, uint8_t *classes)
{
    const ${number} *maps = network(arena, shown);
    const int32_t row = ${NAME}_MAP_WIDTH * ${NAME}_MAPS;
    for (int32_t y = 0; y < ${NAME}_HEIGHT; y++)
        for (int32_t x = 0; x < ${NAME}_WIDTH; x++) {
            float down, right, highest = 0.0f;
            int32_t top = before(y, &down), left = before(x, &right);
            int32_t below = ${NAME}_MAP_WIDTH > 1 ? row : 0, beside = ${NAME}_MAP_WIDTH > 1 ? ${NAME}_MAPS : 0;
            const ${number} *at = maps + top * row + left * ${NAME}_MAPS;
            for (int32_t c = 0; c < ${NAME}_MAPS; c++, at++) {
                float a = (float)((1.0f - down) * told(at[0])) + (float)(down * told(at[below]));
                float b = (float)((1.0f - down) * told(at[beside])) + (float)(down * told(at[below + beside]));
                float v = (float)((1.0f - right) * a) + (float)(right * b);
                if (c == 0 || v > highest) {
                    highest = v;
                    classes[y * ${NAME}_WIDTH + x] = (uint8_t)c;
                }
            }
        }
}

