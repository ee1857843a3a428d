// The tile registers of AMX, whose numbers are template arguments. Compilers' own intrinsics take them only as literals.
#pragma once

#include <cstddef>
#include <cstdint>

namespace p2vit::amx {
namespace {

constexpr int kTileRows = 16;      // largest number of rows of a tile
constexpr int kTileBytes = 64;     // largest number of bytes of a row
constexpr int kTileQuads = 16;     // quads of K in a whole step
constexpr int kTiles = 8;

// Operand of LDTILECFG, palette 1.
struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

inline void load_config(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
inline void store_config(TileConfig& config) { asm volatile("sttilecfg %0" : "=m"(config)); }
inline void release() { asm volatile("tilerelease"); }

template <int T>
inline void load_tile(const void* first, ptrdiff_t pitch) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(first), "r"(pitch), "i"(T) : "memory");
}

template <int T>
inline void store_tile(void* first, ptrdiff_t pitch) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(first), "r"(pitch), "i"(T) : "memory");
}

// C += A · B for unsigned bytes A and signed bytes B, modulo 2^32.
template <int C, int A, int B>
inline void dot() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

}   // namespace
}   // namespace p2vit::amx
