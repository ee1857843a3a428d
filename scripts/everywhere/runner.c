/* Reads photos until there are no more, and writes the program's integers: every tensor of the first TRACED photos,
 * and outputs and features of all. Integers are written in 32 bits, the lowest byte first, on every machine.
 */
#include "runner.h"

#include "p2vit_model.h"
#include "requantize.h"

#ifndef TRACED
#define TRACED 1
#endif

static uint32_t arena[(P2VIT_ARENA_BYTES + 3) / 4];
static uint8_t photo[P2VIT_HEIGHT * P2VIT_WIDTH * P2VIT_CHANNELS];
static int32_t outputs[P2VIT_OUTPUTS], features[P2VIT_FEATURES];
static int32_t done;

static void write_integers(const void *tensor, int32_t type, int32_t count)
{
    uint8_t bytes[256];
    uint32_t used = 0;
    for (int32_t i = 0; i < count; i++) {
        const uint32_t value = (uint32_t)p2vit_load(tensor, type, (size_t)i);
        for (uint32_t shift = 0; shift < 32; shift += 8)
            bytes[used++] = (uint8_t)(value >> shift);
        if (used == sizeof bytes || i + 1 == count) {
            runner_write(bytes, used);
            used = 0;
        }
    }
}

#ifdef P2VIT_TRACE
void p2vit_trace(int32_t step, const void *tensor, int32_t type, int32_t count)
{
    (void)step;
    if (done < TRACED)
        write_integers(tensor, type, count);
}
#endif

int main(void)
{
    if (!runner_open())
        return 1;
    for (; runner_read(photo, sizeof photo); done++) {
        p2vit_run(p2vit_weights, photo, outputs, features, arena);
        write_integers(outputs, P2VIT_INT32, P2VIT_OUTPUTS);
        write_integers(features, P2VIT_INT32, P2VIT_FEATURES);
    }
    runner_close();
    return 0;
}
