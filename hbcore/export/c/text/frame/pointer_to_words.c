static uint32_t *words(${name}_arena *arena, size_t at)
{
    return (uint32_t *)(void *)(arena->bytes + at);
}

