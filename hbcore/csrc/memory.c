/* Memory that is used again: fresh pages cost more than the arithmetic done in them. */
#include "memory.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static _Thread_local struct {
    void *memory;
    size_t bytes;
} scratch;

void *hb_scratch(size_t bytes)
{
    if (scratch.bytes < bytes) {
        free(scratch.memory);
        scratch.bytes = (bytes + 4095) / 4096 * 4096;
        scratch.memory = aligned_alloc(64, scratch.bytes);
        if (scratch.memory == NULL)
            scratch.bytes = 0;
    }
    return scratch.memory;
}

void hb_keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 1 << 26);
#endif
}
