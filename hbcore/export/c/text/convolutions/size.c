/* ------------------------------------------------------------------------------------------ convolutions
 *
 * y[oy, ox, f] = sum over taps i, j and channels c of  x[stride oy - padding + i, stride ox - padding + j, c] w[i, j, c, f]
 *
 * Outside of the picture x is 0.
 */
typedef struct {
    int32_t height, width, channels; /* of x */
    int32_t kernel, stride, padding;
    int32_t out_height, out_width, filters;
} size;

