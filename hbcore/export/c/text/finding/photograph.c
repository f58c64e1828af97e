/* ------------------------------------------------------------------------ from a photograph to its instances */
typedef struct {
    box spots[SPOTS], candidates[SPOTS], extents[SPOTS];
    int32_t chosen[SPOTS];
    ${name}_instance looks[SPOTS];
} search;
typedef char the_search_must_fit[sizeof(search) <= ${search} ? 1 : -1];

/* Rows, or columns, of black beside a photograph that takes up a share of the finder's square: they need no look. */
static int32_t beside(int32_t side, double share)
{
    int32_t needed = ((int32_t)rounded(share * side) + FINDER_STEP - 1) / FINDER_STEP * FINDER_STEP;
    return (side - lower(side, higher(FINDER_STEP, needed))) / 2 / FINDER_STRIDE * FINDER_STRIDE;
}

/* Boxes in a square, behind those that are there; how many there are then. */
static int32_t look_for(${name}_arena *arena, search *s, const photograph *of, const uint8_t *pixels, int32_t side,
                        int32_t count)
{
    int32_t longer = higher(of->height, of->width);
    int32_t top = beside(side, (double)of->height / longer), left = beside(side, (double)of->width / longer);
    int32_t height = side - 2 * top, width = side - 2 * left;
    picture shown = {pixels + 3 * (top * side + left), (size_t)(3 * side), RGB};
    float *maps = finder_network(arena, &shown, height, width);
    int32_t rows = height / FINDER_STRIDE, columns = width / FINDER_STRIDE;
    for (int32_t i = 0; i < rows * columns * FINDER_MAPS; i++)
        maps[i] = ${finder_value}(maps[i]);
    box *found = s->candidates + count;
    int32_t more = boxes_in(maps, rows, columns, found, s->spots, s->chosen);
    for (int32_t n = 0; n < more; n++)
        found[n].x0 += left, found[n].y0 += top, found[n].x1 += left, found[n].y1 += top;
    return count + more;
}

/* Boxes of the finder: a look at the whole, reduced to the size it knows, then to half, for what is large. */
static int32_t find_boxes(${name}_arena *arena, search *s, const photograph *of)
{
    uint8_t *whole = arena->bytes + ${whole}, *half = arena->bytes + ${half};
    const int32_t side = FINDER_SIDE, row = 3 * side;
    square all = {(of->width - 1) / 2.0, (of->height - 1) / 2.0, higher(of->width, of->height)};
    extract(of, &all, side, whole, arena->bytes + ${work_whole});
    for (int32_t y = 0; y < side / 2; y++)
        for (int32_t i = 0; i < row / 2; i++) {
            const uint8_t *p = whole + 2 * y * row + i / 3 * 6 + i % 3;
            half[y * (row / 2) + i] = (uint8_t)((p[0] + p[3] + p[row] + p[row + 3] + 2) >> 2);
        }
    int32_t fine = look_for(arena, s, of, whole, side, 0), both = look_for(arena, s, of, half, side / 2, fine), count = fine;
    for (int32_t n = fine; n < both; n++)
        if (s->candidates[n].x1 - s->candidates[n].x0 >= ${large}) {
            const box *b = &s->candidates[n];
            box large = {2 * b->x0 + 0.5, 2 * b->y0 + 0.5, 2 * b->x1 + 0.5, 2 * b->y1 + 0.5, b->confidence};
            s->candidates[count++] = large;
        }
    int32_t apart = separate(s->candidates, count, s->chosen);
    memcpy(s->spots, s->candidates, sizeof s->spots);
    for (int32_t n = 0; n < apart; n++) {
        const box *b = &s->spots[s->chosen[n]];
        double middle = (side - 1) / 2.0, scale = all.side / side;
        box outer = {(b->x0 - middle) * scale + all.x, (b->y0 - middle) * scale + all.y,
                     (b->x1 - middle) * scale + all.x, (b->y1 - middle) * scale + all.y, b->confidence};
        s->candidates[n] = outer;
    }
    return apart;
}

/* The maps of the square around a box, and that square; NULL for a box without an area, or not in the photograph. */
static const float *look_at(${name}_arena *arena, const photograph *of, const box *b, square *at)
{
    double width = b->x1 - b->x0, height = b->y1 - b->y0, longer = width > height ? width : height;
    if (!(width > 0.0 && height > 0.0) || longer > 100.0 * higher(of->height, of->width))
        return NULL;
    if (b->x0 >= of->width - 0.5 || b->y0 >= of->height - 0.5 || b->x1 <= -0.5 || b->y1 <= -0.5)
        return NULL;
    square around = {(b->x0 + b->x1) / 2, (b->y0 + b->y1) / 2, ${margin} * longer};
    picture shown = {arena->bytes + ${crop}, 3 * ${NAME}_WIDTH, RGB};
    *at = around;
    extract(of, &around, ${NAME}_WIDTH, arena->bytes + ${crop}, arena->bytes + ${work_crop});
    return network(arena, &shown);
}

/* The mean of the highest values of maps, wherever they are: nothing is read out. */
static double glance(const float *maps)
{
    double sum = 0.0;
    for (int32_t k = 0; k < ${NAME}_MAPS; k++) {
        float highest = maps[k];
        for (int32_t p = 1; p < SIDE * SIDE; p++)
            highest = maps[p * ${NAME}_MAPS + k] > highest ? maps[p * ${NAME}_MAPS + k] : highest;
        sum += (double)value_of(highest);
    }
    return sum / ${NAME}_MAPS;
}

/* Points in the photograph from maps of a square of it; gives the box around them. */
static box read_points(${name}_arena *arena, const float *maps, const square *at, const box *from, ${name}_instance *into)
{
    double middle = (${NAME}_WIDTH - 1) / 2.0, scale = at->side / ${NAME}_WIDTH, sum = 0.0;
    box around = {0.0, 0.0, 0.0, 0.0, 0.0};
    for (int32_t k = 0; k < ${NAME}_MAPS; k++) {
        ${name}_point p = point_of(maps, k, (double *)(void *)(arena->bytes + ${decoding}));
        p.x = (float)(((double)p.x - middle) * scale + at->x);
        p.y = (float)(((double)p.y - middle) * scale + at->y);
        sum += (double)p.score;
        around.x0 = k && around.x0 < (double)p.x ? around.x0 : (double)p.x;
        around.y0 = k && around.y0 < (double)p.y ? around.y0 : (double)p.y;
        around.x1 = k && around.x1 > (double)p.x ? around.x1 : (double)p.x;
        around.y1 = k && around.y1 > (double)p.y ? around.y1 : (double)p.y;
        into->points[k] = p;
    }
    into->confidence = around.confidence = sum / ${NAME}_MAPS;
    into->box[0] = from->x0, into->box[1] = from->y0, into->box[2] = from->x1, into->box[3] = from->y1;
    return around;
}

int32_t ${name}_photograph(${name}_arena *arena, const uint8_t *pixels, int32_t height, int32_t width, size_t stride,
${indent}${name}_instance *found, int32_t most)
{
    const photograph of = {pixels, stride, height, width};
    if (height < 1 || width < 1 || height > ${NAME}_LARGEST || width > ${NAME}_LARGEST)
        return -1;
    search *s = (search *)(void *)(arena->bytes + ${search_at});
    int32_t boxes = find_boxes(arena, s, &of), looks = 0;
    for (int32_t n = 0; n < boxes; n++) {
        square at;
        const float *maps = look_at(arena, &of, &s->candidates[n], &at);
        if (!maps || glance(maps) < ${glance})
            continue;
        ${name}_instance *look = &s->looks[looks];
        box around = read_points(arena, maps, &at, &s->candidates[n], look);
        maps = look_at(arena, &of, &around, &at); /* once more, which makes up for boxes that are off */
        if (maps)
            around = read_points(arena, maps, &at, &around, look);
        if (look->confidence >= ${sure})
            s->extents[looks++] = around;
    }
    int32_t apart = lower(separate(s->extents, looks, s->chosen), most);
    for (int32_t n = 0; n < apart; n++)
        found[n] = s->looks[s->chosen[n]];
    return higher(apart, 0);
}

int ${name}_finder_selftest(${name}_arena *arena)
{
    picture shown = {NULL, 0, GOLDEN};
    const float *maps = finder_network(arena, &shown, FINDER_STEP, FINDER_STEP);
    uint32_t hash = 2166136261u, bits;
    for (int32_t i = 0; i < FINDER_STEP / FINDER_STRIDE * (FINDER_STEP / FINDER_STRIDE) * FINDER_MAPS; i++) {
        memcpy(&bits, &maps[i], sizeof bits);
        hash = (hash ^ bits) * 16777619u;
    }
    return hash != (HB_FUSED ? ${finder_fused}u : ${finder_separate}u);
}
