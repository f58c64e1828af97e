static void load(const picture *shown, ${number} *y)
{
    for (int32_t p = 0; p < ${NAME}_HEIGHT * ${NAME}_WIDTH; p++)
        colours(shown, p / ${NAME}_WIDTH, p % ${NAME}_WIDTH, y + 3 * p);
}

