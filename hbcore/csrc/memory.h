#ifndef HBCORE_MEMORY_H
#define HBCORE_MEMORY_H

#include <stddef.h>

/* Memory of this thread's own that is used again and again: valid until its next call, and freed when the thread ends.
 * NULL if there is none. */
void *hb_scratch(size_t bytes);

/* Let the process keep the memory that it frees, up to a gigabyte, instead of giving every large array back to the
 * system and asking for it anew; or, with 0, give back what it has and do as by default. Nothing outside glibc. */
void hb_keep_memory(int keep);

#endif
