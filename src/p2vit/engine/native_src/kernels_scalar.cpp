// The kernel set that every CPU has: plain loops, whatever the compiler makes of them.
#include "kernels.h"
#include "row_math.h"

namespace p2vit {

uint16_t exp2_table[128];

namespace {
#include "portable.inc"

void gemm(const Gemm& g) {
    const size_t stride = size_t(g.quads) * kPanel * kQuad;
    auto* unpacked = reinterpret_cast<int8_t*>(g.scratch);
    for (int panel = 0; panel < g.panels; ++panel) {
        const int8_t* b = g.b + panel * stride;
        if (g.nibbles) {
            unpack_nibbles(reinterpret_cast<const uint8_t*>(g.b) + panel * stride / 2, g.quads, unpacked);
            b = unpacked;
        }
        for (int row = 0; row < g.rows; ++row) {
            const uint8_t* a = g.a + row * g.a_pitch;
            uint32_t acc[kPanel];
            for (int c = 0; c < kPanel; ++c) acc[c] = uint32_t(g.bias[panel * kPanel + c]);
            for (int q = 0; q < g.quads; ++q) {
                const int8_t* w = b + q * kPanel * kQuad;
                const int x0 = a[4 * q], x1 = a[4 * q + 1], x2 = a[4 * q + 2], x3 = a[4 * q + 3];
                for (int c = 0; c < kPanel; ++c)
                    acc[c] += uint32_t(x0 * w[4 * c] + x1 * w[4 * c + 1] + x2 * w[4 * c + 2] + x3 * w[4 * c + 3]);
            }
            int32_t result[kPanel];
            for (int c = 0; c < kPanel; ++c) result[c] = int32_t(acc[c]);
            finish_row(g.end, row, panel * kPanel, result);
        }
    }
}

constexpr Kernels table{"scalar", gemm, portable_layernorm, portable_softmax, portable_quotient, nullptr};
}   // namespace

const Kernels* kernels_scalar() { return &table; }

}   // namespace p2vit
