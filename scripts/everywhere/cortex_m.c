/* A Cortex-M without an operating system: vector table, start, and files of the host by semihosting.
 *
 * The stack is filled with a pattern, so that `stack.bin` can say how much of it was used.
 */
#include "runner.h"

extern uint32_t stack_bottom[], stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];
int main(void);
void start(void);
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count);
void *memset(void *to, int value, __SIZE_TYPE__ count);

enum { SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT = 24 };
enum { READ_BINARY = 1, WRITE_BINARY = 5, PATTERN = 0x5a };

static int32_t photos, integers;

static int32_t host(int32_t operation, const void *block)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t open_file(const char *name, uint32_t mode)
{
    uint32_t length = 0;
    while (name[length] != 0)
        length++;
    const uint32_t block[3] = {(uint32_t)name, mode, length};
    return host(SYS_OPEN, block);
}

/* Number of bytes that were not transferred. */
static int32_t transfer(int32_t operation, int32_t file, const void *bytes, uint32_t count)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)bytes, count};
    return host(operation, block);
}

static void leave(int failed)
{
    host(SYS_EXIT, (const void *)(failed ? 0x20023u : 0x20026u)); /* run-time error, or application exit */
    for (;;) {
    }
}

int runner_open(void)
{
    photos = open_file("photos.bin", READ_BINARY);
    integers = open_file("integers.bin", WRITE_BINARY);
    return photos >= 0 && integers >= 0;
}

int runner_read(uint8_t *bytes, uint32_t count)
{
    return transfer(SYS_READ, photos, bytes, count) == 0;
}

void runner_write(const uint8_t *bytes, uint32_t count)
{
    if (transfer(SYS_WRITE, integers, bytes, count) != 0)
        leave(1);
}

void runner_close(void)
{
    const uint32_t block[1] = {(uint32_t)integers};
    if (host(SYS_CLOSE, block) != 0)
        leave(1);
    const uint8_t *lowest = (const uint8_t *)stack_bottom;
    while (*lowest == PATTERN)
        lowest++;
    const uint32_t used = (uint32_t)((const uint8_t *)stack_top - lowest);
    const int32_t file = open_file("stack.bin", WRITE_BINARY);
    if (file < 0 || transfer(SYS_WRITE, file, &used, sizeof used) != 0)
        leave(1);
}

/* Compilers call these two. */
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count)
{
    for (volatile uint8_t *t = to; count > 0; count--)
        *t++ = *(const uint8_t *)from, from = (const uint8_t *)from + 1;
    return to;
}

void *memset(void *to, int value, __SIZE_TYPE__ count)
{
    for (volatile uint8_t *t = to; count > 0; count--)
        *t++ = (uint8_t)value;
    return to;
}

void start(void)
{
    uint32_t *to;
    const uint32_t *from = data_load;
    for (to = data_start; to < data_end;)
        *to++ = *from++;
    for (to = bss_start; to < bss_end;)
        *to++ = 0;
    for (volatile uint8_t *below = (uint8_t *)stack_bottom; below < (uint8_t *)__builtin_frame_address(0) - 256;)
        *below++ = PATTERN;
    leave(main());
}

static void fault(void)
{
    leave(1);
}

/* First stack pointer, reset, NMI, hard fault, and the other faults. */
__attribute__((used, section(".vectors"))) static void (*const vectors[7])(void) = {
    (void (*)(void))stack_top, start, fault, fault, fault, fault, fault};
