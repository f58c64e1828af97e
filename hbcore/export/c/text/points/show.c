    static ${name}_point points[${NAME}_MAPS];
    printf("confidence %.3f\n", (double)${name}_rgb(&arena, crop, 3 * ${NAME}_WIDTH, points));
    for (int k = 0; k < ${NAME}_MAPS; k++) { /* in pixels of the picture */
        double scale = (double)side / ${NAME}_WIDTH;
        double x = left + ((double)points[k].x + 0.5) * scale - 0.5, y = top + ((double)points[k].y + 0.5) * scale - 0.5;
        printf("%d %.2f %.2f %.3f\n", k, x, y, (double)points[k].score);
    }
