/* The functions of the WebAssembly module. All memory is its own and of fixed size. */
#include "p2vit_model.h"
#ifdef __wasm_relaxed_simd__
#include "relaxed.h"
#endif

#define EXPORT(name) __attribute__((export_name(#name)))

static uint32_t arena[(P2VIT_ARENA_BYTES + 3) / 4];
static uint8_t weight_bytes[P2VIT_WEIGHT_BYTES]; /* the host fills it once, from weights.bin */
static uint8_t photo[P2VIT_HEIGHT * P2VIT_WIDTH * P2VIT_CHANNELS];
static int32_t output_numbers[P2VIT_OUTPUTS], feature_numbers[P2VIT_FEATURES];

EXPORT(weights) uint8_t *weights(void);
EXPORT(pixels) uint8_t *pixels(void);
EXPORT(outputs) int32_t *outputs(void);
EXPORT(features) int32_t *features(void);
EXPORT(run) void run(void);
EXPORT(prepare) int32_t prepare(void);

uint8_t *weights(void)
{
    return weight_bytes;
}

uint8_t *pixels(void)
{
    return photo;
}

int32_t *outputs(void)
{
    return output_numbers;
}

int32_t *features(void)
{
    return feature_numbers;
}

/* Call once before the first photo. Returns how this machine reads relaxed byte products, see relaxed.h; 0: others run. */
int32_t prepare(void)
{
#ifdef __wasm_relaxed_simd__
    p2vit_bytes_probe();
    return p2vit_bytes;
#else
    return 0;
#endif
}

void run(void)
{
    p2vit_run(weight_bytes, photo, output_numbers, feature_numbers, arena);
}
