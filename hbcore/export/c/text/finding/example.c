static ${name}_arena arena;
static ${name}_instance found[${NAME}_MOST];

int main(int count, char **arguments)
{
    int width, height;
    if (count == 2 && strcmp(arguments[1], "--selftest") == 0) {
        int wrong = ${name}_selftest(&arena) || ${name}_finder_selftest(&arena);
        puts(wrong ? "self-test: other maps than where this file was written" : "self-test: the same to the last bit");
        return wrong;
    }
    uint8_t *pixels = count == 2 ? read_ppm(arguments[1], &width, &height) : NULL;
    if (!pixels) {
        fprintf(stderr, "usage: %s PICTURE.ppm (P6, 255 levels) | --selftest\n", arguments[0]);
        return 2;
    }
    int32_t number = ${name}_photograph(&arena, pixels, height, width, 3 * (size_t)width, found, ${NAME}_MOST);
    free(pixels);
    if (number < 0) {
        fprintf(stderr, "%s: larger than %d pixels\n", arguments[1], ${NAME}_LARGEST);
        return 2;
    }
    for (int32_t n = 0; n < number; n++) {
        const double *box = found[n].box;
        printf("instance %d box %.2f %.2f %.2f %.2f confidence %.3f\n", (int)n, box[0], box[1], box[2], box[3],
               found[n].confidence);
        for (int k = 0; k < ${NAME}_MAPS; k++)
            printf("%d %.2f %.2f %.3f\n", k, (double)found[n].points[k].x, (double)found[n].points[k].y,
                   (double)found[n].points[k].score);
    }
    return 0;
}
