/* Threads of our own: plain pthreads, so that nothing breaks under fork and BLAS is left alone. */
#ifndef HBCORE_POOL_H
#define HBCORE_POOL_H

#include <stddef.h>

/* Do item `item` of a piece of work. Items are independent: which thread takes which one changes nothing. */
typedef void (*hb_task)(void *work, ptrdiff_t item);

/* How many threads work from now on, the caller among them. */
void hb_set_threads(int count);

/* task(work, 0) ... task(work, items - 1), on all threads; returns when all are done. */
void hb_run(hb_task task, void *work, ptrdiff_t items);

#endif
