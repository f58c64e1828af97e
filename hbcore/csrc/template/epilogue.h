/* The epilogue, from a sum to what is stored, by the equations of hb_epilogue (kernels.h); a part of template.h.
 *
 * The common epilogues are compiled on their own, so that nothing needs to be asked for every few filters: sums that are
 * stored as they are or times alpha, perhaps added to a skip path, perhaps with their bits; LANES filters or a multiple.
 *
 *   MASK(v)  one bit per lane: the sign bits of a vector of int32
 */
enum { ALPHA = 1, SKIP = 2, BITS = 4, ANY = 8 };

INLINE int NAME(kind)(const hb_epilogue *end, ptrdiff_t filters)
{
    if (filters % LANES != 0 || end->y == NULL || end->bias != NULL || end->relu || end->slope != NULL
        || end->scale != NULL || end->relu_last)
        return ANY;
    return (end->alpha != NULL) * ALPHA + (end->skip != NULL) * SKIP + (end->bits != NULL) * BITS;
}

/* The epilogue of filters f ... f + LANES - 1 of one pixel; bits gather in *word, which is written when it is full. */
INLINE void NAME(finish)(const int kind, const hb_epilogue *end, vf v, ptrdiff_t pixel, ptrdiff_t f, ptrdiff_t filters,
                         uint64_t *word)
{
    ptrdiff_t used = kind == ANY ? MIN(LANES, filters - f) : LANES;
    if (kind == ANY ? end->alpha != NULL : kind & ALPHA)
        v *= load(end->alpha + f);
    if (kind == ANY) {
        if (end->bias != NULL)
            v += load(end->bias + f);
        if (end->relu)
            v = choose(v > broadcast(0.0f), v, broadcast(0.0f));
        if (end->slope != NULL)
            v = choose(v > broadcast(0.0f), v, v * load(end->slope + f));
        if (end->scale != NULL)
            v = v * load(end->scale + f) + load(end->shift + f);
        if (end->relu_last)
            v = choose(v > broadcast(0.0f), v, broadcast(0.0f));
    }
    if (kind == ANY ? end->bits != NULL : kind & BITS) {
        uint64_t below = (uint64_t)MASK(v < load(end->threshold + f)) << (f % 64);
        *word |= below & (used == LANES ? ~0ull : ((1ull << used) - 1) << (f % 64));
        if (f % 64 + LANES == 64 || f + LANES >= filters) {
            end->bits[pixel * ((filters + 63) / 64) + f / 64] = *word ^ end->flip[f / 64];
            *word = 0;
        }
    }
    if (kind == ANY && end->y == NULL)
        return;
    float *y = end->y + pixel * end->y_step + f;
    const float *skip = (kind == ANY ? end->skip != NULL : kind & SKIP) ? end->skip + pixel * end->skip_step + f : NULL;
    if (skip != NULL)
        v += load_some(skip, used);
    store_some(y, v, used);
}
