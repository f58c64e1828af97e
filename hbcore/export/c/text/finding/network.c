/* ------------------------------------------------------------------------------ the finder, layer by layer */
${finder_constants}

enum { FINDER_SIDE = ${finder_side}, FINDER_STEP = ${finder_step}, FINDER_STRIDE = ${finder_stride}, FINDER_MAPS = ${finder_maps} };

/* The sizes of a layer, which are those for pictures of FINDER_SIDE, for one of other sides. */
static void resize(size *s, int32_t height, int32_t width)
{
    s->height = height / (FINDER_SIDE / s->height);
    s->width = width / (FINDER_SIDE / s->width);
    s->out_height = height / (FINDER_SIDE / s->out_height);
    s->out_width = width / (FINDER_SIDE / s->out_width);
}

/* The maps of a picture whose sides are multiples of FINDER_STEP, up to FINDER_SIDE. They lie in the arena. */
static float *finder_network(${name}_arena *arena, const picture *shown, int32_t height, int32_t width)
{
${finder_calls}
    return ${finder_result};
}

