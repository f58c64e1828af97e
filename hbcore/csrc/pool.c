/* One job at a time. Its items are cut into as many shares as there are threads. Everybody begins with their own, which is
 * the same part of a batch in every job: what one kernel wrote lies in the cache of the core where the next reads it. Whoever
 * is done takes what is left of the others': nobody waits for a helper who is asleep or not scheduled. Helpers look for the
 * next job for about a millisecond before they go to sleep: to wake one up takes tens of microseconds, as long as a small
 * layer and as what Python does between two. Meanwhile they offer their core to whoever wants it, as the process that draws
 * the pictures. */
#define _POSIX_C_SOURCE 200809L /* pthread_atfork */
#include "pool.h"

#include <stdatomic.h>

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>

#define MAX_HELPERS 63
#define PATIENCE 20000  /* looks for the next job before sleeping: about a millisecond */
#define POLITENESS 512  /* looks between two offers of the core: an offer takes as long as many looks */

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held by the caller of the job */
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;  /* guards sleep and waking up */
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static atomic_int threads = 1; /* read before the owner is known */
static int helpers; /* alive */
static int sleepers;
static pthread_t helper[MAX_HELPERS];
static atomic_uint first_ticket; /* the last job when they were hired */

static hb_task job_task;
static void *job_work;
static ptrdiff_t job_items;
static int job_shares;
static struct {
    _Alignas(64) atomic_ptrdiff_t next; /* item: each in a line of the cache of its own */
} share[MAX_HELPERS + 1];
static atomic_uint ticket; /* changes with every job */
static atomic_int open;    /* there are items to take */
static atomic_int busy;    /* helpers that may be taking some */
static atomic_int stop;

/* Between two looks at what another thread will change. */
static void wait_briefly(unsigned look)
{
    if (look % POLITENESS == POLITENESS - 1)
        sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Where a share begins, and the one before it ends. */
static ptrdiff_t begin(int number)
{
    return job_items * number / job_shares;
}

static void take_items(int own)
{
    for (int k = 0; k < job_shares; k++) {
        int number = (own + k) % job_shares;
        ptrdiff_t end = begin(number + 1);
        for (ptrdiff_t item; (item = atomic_fetch_add(&share[number].next, 1)) < end;)
            job_task(job_work, item);
    }
}

static void *help(void *number)
{
    int own = (int)(size_t)number;
    unsigned seen = atomic_load(&first_ticket);
    for (;;) {
        for (unsigned look = 0; atomic_load(&ticket) == seen && look < PATIENCE; look++)
            wait_briefly(look);
        if (atomic_load(&ticket) == seen) {
            pthread_mutex_lock(&door);
            sleepers++;
            while (atomic_load(&ticket) == seen)
                pthread_cond_wait(&bell, &door);
            sleepers--;
            pthread_mutex_unlock(&door);
        }
        seen = atomic_load(&ticket);
        if (atomic_load(&stop))
            return NULL;
        /* First say so, then look: the caller closes the job first and then looks who is busy. */
        atomic_fetch_add(&busy, 1);
        if (atomic_load(&open))
            take_items(own);
        atomic_fetch_sub(&busy, 1);
    }
}

static void announce(void)
{
    pthread_mutex_lock(&door);
    atomic_fetch_add(&ticket, 1);
    if (sleepers)
        pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&door);
}

static void dismiss(void)
{
    if (helpers == 0)
        return;
    atomic_store(&stop, 1);
    announce();
    for (int i = 0; i < helpers; i++)
        pthread_join(helper[i], NULL);
    helpers = 0;
    atomic_store(&stop, 0);
}

static void hire(void)
{
    atomic_store(&first_ticket, atomic_load(&ticket));
    while (helpers < atomic_load(&threads) - 1 &&
           pthread_create(&helper[helpers], NULL, help, (void *)(size_t)(helpers + 1)) == 0)
        helpers++;
}

/* A forked child has the caller's thread only: forget the others, and hire anew when there is work. */
static void forget(void)
{
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&door, NULL);
    pthread_cond_init(&bell, NULL);
    helpers = sleepers = 0;
    atomic_store(&open, 0);
    atomic_store(&busy, 0);
}

void hb_set_threads(int count)
{
    static int registered;
    pthread_mutex_lock(&owner);
    if (!registered)
        registered = pthread_atfork(NULL, NULL, forget) == 0;
    dismiss();
    atomic_store(&threads, count < 1 ? 1 : count > MAX_HELPERS + 1 ? MAX_HELPERS + 1 : count);
    pthread_mutex_unlock(&owner);
}

void hb_run(hb_task task, void *work, ptrdiff_t items)
{
    /* One thread, one item, or a pool that serves somebody else: the caller does it alone. */
    if (atomic_load(&threads) == 1 || items < 2 || pthread_mutex_trylock(&owner) != 0) {
        for (ptrdiff_t item = 0; item < items; item++)
            task(work, item);
        return;
    }
    if (helpers < atomic_load(&threads) - 1)
        hire();
    job_task = task;
    job_work = work;
    job_items = items;
    job_shares = helpers + 1;
    for (int number = 0; number < job_shares; number++)
        atomic_store(&share[number].next, begin(number));
    atomic_store(&open, 1);
    announce();
    take_items(0);
    atomic_store(&open, 0);
    for (unsigned look = 0; atomic_load(&busy); look++)
        wait_briefly(look);
    pthread_mutex_unlock(&owner);
}

#else /* no pthreads: one thread */

void hb_set_threads(int count)
{
    (void)count;
}

void hb_run(hb_task task, void *work, ptrdiff_t items)
{
    for (ptrdiff_t item = 0; item < items; item++)
        task(work, item);
}

#endif
