static ${number} *numbers(${name}_arena *arena, size_t at)
{
    return (${number} *)(void *)(arena->bytes + at);
}

