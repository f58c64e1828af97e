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

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>

/* A thread's memory ends with the thread: the key's value is only there to have release() called then. */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *memory)
{
    free(memory);
    scratch.memory = NULL;
    scratch.bytes = 0;
}

static void make_key(void)
{
    (void)pthread_key_create(&key, release);
}

static void remember(void *memory)
{
    pthread_once(&once, make_key);
    (void)pthread_setspecific(key, memory);
}

#else /* no pthreads: what a thread leaves stays until the process ends */

static void remember(void *memory)
{
    (void)memory;
}

#endif

void *hb_scratch(size_t bytes)
{
    if (scratch.bytes < bytes) {
        free(scratch.memory);
        scratch.bytes = (bytes + 4095) / 4096 * 4096;
        scratch.memory = aligned_alloc(64, scratch.bytes);
        if (scratch.memory == NULL)
            scratch.bytes = 0;
        remember(scratch.memory);
    }
    return scratch.memory;
}

void hb_keep_memory(int keep)
{
#ifdef __GLIBC__
    /* 128 KiB is what the manual of mallopt names as default of all three. */
    mallopt(M_MMAP_THRESHOLD, keep ? 1 << 28 : 1 << 17);
    mallopt(M_TRIM_THRESHOLD, keep ? 1 << 30 : 1 << 17);
    mallopt(M_TOP_PAD, keep ? 1 << 26 : 1 << 17);
    if (!keep)
        malloc_trim(0);
#else
    (void)keep;
#endif
}
