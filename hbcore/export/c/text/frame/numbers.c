static float *numbers(${name}_arena *arena, size_t at)
{
    return (float *)(void *)(arena->bytes + at);
}

