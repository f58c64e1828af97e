/* ------------------------------------------------------------------------------- weights, layer by layer
 *
 * Sizes: height, width and channels of x; kernel, stride, padding; height, width and filters of the result.
 */
${constants}

/* ------------------------------------------------------------------------------------------- the network */
${pointers}
/* Whoever includes this file may look at the bits of a layer here, which later ones write over. */
#ifndef HB_SEEN
#define HB_SEEN(words, count)
#endif

/* The maps of a picture, which lie in the arena. Offsets are bytes: where buffers share a place, no step needs both. */
static const ${number} *network(${name}_arena *arena, const picture *shown)
{
${calls}
    return ${result};
}

