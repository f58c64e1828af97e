/* What a map says: itself. */
static float value_of(float map)
{
    return map;
}

