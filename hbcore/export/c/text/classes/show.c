    static uint8_t classes[${NAME}_HEIGHT * ${NAME}_WIDTH];
    ${name}_rgb(&arena, crop, 3 * ${NAME}_WIDTH, classes);
    for (int y = 0; y < ${NAME}_HEIGHT; y += 4) { /* a letter for every class, of some pixels */
        for (int x = 0; x < ${NAME}_WIDTH; x += 2)
            putchar(classes[y * ${NAME}_WIDTH + x] ? 'a' + (classes[y * ${NAME}_WIDTH + x] - 1) % 26 : '.');
        putchar('\n');
    }
