/* An exported model on a Cortex-M without an operating system: says by semihosting whether its self-test passed, and how
 * many thousand instructions a picture took, as the emulator's clock counts them (-icount shift=0: one in a nanosecond;
 * SysTick runs at 25 MHz). */
#include HEADER

#define JOIN(a, b) a##_##b
#define OF(name, what) JOIN(name, what)

static OF(NAME, arena) arena;
extern uint32_t stack_top;
static volatile uint32_t wraps;
void reset(void);

static void on_tick(void)
{
    wraps++;
}

__attribute__((section(".vectors"), used)) static const struct {
    const uint32_t *stack;
    void (*reset)(void), (*others[13])(void), (*tick)(void);
} vectors = {&stack_top, reset, {0}, on_tick};

static void host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(uint32_t number)
{
    char digits[12], *at = digits + sizeof digits;
    *--at = 0;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    host(4, at);
}

__attribute__((noinline)) static void work(void)
{
    volatile uint32_t *const timer = (volatile uint32_t *)0xE000E010; /* control, reload, value */
    timer[1] = timer[2] = 0xFFFFFF;
    timer[0] = 7;
    int wrong = OF(NAME, selftest)(&arena);
    uint32_t left = timer[2];
    timer[0] = 0;
    host(4, wrong ? "other " : "same ");
    say(wraps * ((1u << 24) / 25) + ((1u << 24) - left) / 25);
    host(0x18, (const void *)0x20026); /* the program has ended well */
}

void reset(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* lets the program use floating point */
#endif
    work();
    for (;;)
        ;
}
