/* The way of a binary convolution, which its filters were made for (panels.c); a part of template.h. */
static int NAME(binary_conv2d)(const hb_conv *s, const uint64_t *x, const hb_filters *w, const hb_epilogue *end)
{
    hb_task item = NAME(binary_item);
    ptrdiff_t band = MAX(1, MIN(MOST_ROWS, s->batch * s->out_h / SLICES)); /* enough of them for all threads */
#ifdef LOOK_UP
    if (w->nibbles != NULL) {
        item = NAME(table_item);
        band = 1;
    }
#endif
#ifdef BY_TILES
    if (w->tiles != NULL) {
        item = NAME(tiles_item);
        band = MOST_TILE_ROWS;
    }
    if (w->pairs != NULL) {
        item = NAME(pairs_item);
        band = MOST_TILE_ROWS;
    }
#endif
    NAME(binary_work) work = {s, x, w, end, band, 0};
    hb_run(item, &work, s->batch * ((s->out_h + band - 1) / band));
    return work.failed ? -1 : 0;
}
