/* Finds out what WebAssembly's relaxed byte products do here. Empty for all other processors. */
#if defined(__wasm_relaxed_simd__) && !defined(P2VIT_PORTABLE)
#include "relaxed.h"

#define BYTES(y) ((int32_t)((uint32_t)(y) * 0x01010101u))

int32_t p2vit_bytes = P2VIT_NOT_USABLE;

/* Whether all products of two bytes, four equal ones summed, are those of the second byte read as `kind` says. */
static int exact(int32_t kind)
{
    for (int32_t x = -128; x < 128; x++)
        for (int32_t y = 0; y < 256; y += 4) {
            int32_t found[4], bad = 0;
            const v128_t second = wasm_i32x4_make(BYTES(y), BYTES(y + 1), BYTES(y + 2), BYTES(y + 3));
            p2vit_store4(found, p2vit_bytes_products(wasm_i32x4_splat(x), wasm_i8x16_splat((int8_t)x), second));
            for (int32_t i = 0; i < 4; i++) {
                const int32_t byte = kind == P2VIT_AS_SIGNED && y >= 128 ? y + i - 256 : y + i;
                bad |= found[i] != x + 4 * x * byte;
            }
            if (bad)
                return 0;
        }
    return 1;
}

void p2vit_bytes_probe(void)
{
    p2vit_bytes = exact(P2VIT_AS_UNSIGNED) ? P2VIT_AS_UNSIGNED : exact(P2VIT_AS_SIGNED) ? P2VIT_AS_SIGNED : P2VIT_NOT_USABLE;
}

#else

typedef int p2vit_no_relaxed_products;

#endif
