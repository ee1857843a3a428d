// The interface of a kernel set: the four inner loops of an integer ViT. There is one set per instruction set; it is
// chosen at run time.
//
// The engine stores an int8 number x as the byte x XOR 128 ("biased"), because the dot-product instruction multiplies
// unsigned by signed bytes. This adds 128 · Σw to a product, which is subtracted from the layer's bias at load.
// Weights are packed [N/16][K/4][16][4] for every instruction set. Rows are padded, so that kernels need no masks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "constants.h"

namespace p2vit {

constexpr int kPanel = 16;      // output columns that are packed together
constexpr int kQuad = 4;        // products summed by one lane of a dot-product instruction
constexpr int kRowAlign = 64;   // bytes; every row of a buffer begins at a multiple and may be written up to the next one

static_assert(kTableColumns % kPanel == 0, "all columns of a panel use one table");

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
constexpr size_t round_up(size_t a, size_t b) { return (a + b - 1) / b * b; }

// The computation on an accumulator before it is stored. Shifts are right shifts of 0..31, and the bias contains the
// rounding constant. Packing a layer has proved that neither overflows.
struct Epilogue {
    int bits = 32;                       // 8, 16: re-quantize to that width; 32: store the accumulator
    const int32_t* shift = nullptr;      // [columns]
    const uint8_t* table = nullptr;      // [kTableEntries] biased → biased, after re-quantizing to 8 bits; or several in a row
    int table_pitch = 0;                 // 0: one table; kTableEntries: one table per kTableColumns columns
    const void* residual = nullptr;      // first row, first column; null: no residual add
    ptrdiff_t residual_pitch = 0;        // bytes
    bool residual_wide = true;           // int16 rather than biased bytes
    bool plain = true;                   // the residual add needs no shifts
    const int32_t* left_own = nullptr;   // [columns] left shift of the layer's result
    const int32_t* left_residual = nullptr;
    const int32_t* add_shift = nullptr;   // right shift of the sum
    int out_bits = 32;                    // width of what is stored
    void* out = nullptr;                  // first row, first column
    ptrdiff_t out_pitch = 0;              // bytes

    const uint8_t* table_of(int column) const { return table + (column / kTableColumns) * table_pitch; }
};

struct Gemm {
    const uint8_t* a = nullptr;   // biased bytes, or unsigned bytes
    ptrdiff_t a_pitch = 0;
    int rows = 0;
    const int8_t* b = nullptr;   // packed; or two 4-bit weights per byte
    bool nibbles = false;
    int quads = 0;                   // ceil(K / 4)
    int panels = 0;                  // ceil(N / 16)
    const int32_t* bias = nullptr;   // [panels · 16]
    std::byte* scratch = nullptr;    // gemm_scratch(quads) bytes
    Epilogue end;
};

// Bytes that may be read behind packed weights, keys or values: kernels that take many quads at a time multiply what lies
// there by zeros.
constexpr size_t kPackedSlack = 16 * kPanel * kQuad;

// Unpacked nibbles of four panels, and eight rows widened to 16 bits.
constexpr size_t gemm_scratch(int quads) { return size_t(quads) * (4 * kPanel * kQuad + 8 * kQuad * 2) + kPackedSlack; }

struct LayerNormRows {
    const void* x = nullptr;
    ptrdiff_t x_pitch = 0;
    bool wide = true;   // int16 rather than biased bytes
    int rows = 0;
    int channels = 0;
    const uint8_t* input_shift = nullptr;   // null: none
    int input_bits = 16;
    const uint16_t* table = nullptr;   // [kRootEntries]
    const int32_t* shift = nullptr;    // [channels padded to 64]
    int least_shift = 0;               // smallest of shift
    int epsilon = 0;
    int epsilon_shift = 0;
    int squares_shift = 0;
    int out_bits = 8;
    void* out = nullptr;
    ptrdiff_t out_pitch = 0;
    int16_t* scratch = nullptr;   // norm_scratch(channels) bytes
};

// LayerNorm works on a few rows at a time: each has two rows of channels, padded to 64.
constexpr int kNormRows = 4;
constexpr size_t norm_scratch(int channels) { return kNormRows * 2 * sizeof(int16_t) * round_up(channels, 64) + 256; }

struct SoftmaxRow {
    const int32_t* scores = nullptr;
    int count = 0;
    int shift = 0;
    bool log2 = false;
    int guard = kLargestGuard;
    uint8_t* codes = nullptr;   // zero up to the next multiple of 64
    uint8_t* high = nullptr;    // log2 only: upper and lower byte of 2^(guard − code)
    uint8_t* low = nullptr;
};

struct QuotientRow {
    const int32_t* accumulator = nullptr;   // codes × values, or its upper byte's part for log2
    const int32_t* low = nullptr;           // log2 only: accumulator = 256 · upper + low
    int channels = 0;
    const int32_t* shift = nullptr;   // kQuotientFraction + the operator's
    uint32_t total = 0;
    int out_bits = 8;
    void* out = nullptr;
};

// One row of queries or keys: 16 bits to 8.
struct RotaryRow {
    const int16_t* x = nullptr;
    uint8_t* y = nullptr;
    int columns = 0;
    int pairs = 0;                    // columns / 2 is a multiple
    const int16_t* cosine = nullptr;  // [pairs]
    const int16_t* sine = nullptr;
    const int32_t* shift = nullptr;   // [columns]
    const int32_t* half = nullptr;    // rounding halves
};

// One row of a gate and of what it multiplies, 8 bits each.
struct MultiplyRow {
    const uint8_t* a = nullptr;
    const uint8_t* b = nullptr;
    uint8_t* y = nullptr;
    int columns = 0;
    const int32_t* offset = nullptr;  // [columns]
    const int32_t* shift = nullptr;
    const int32_t* half = nullptr;    // rounding halves
};

struct Kernels {
    const char* name;
    void (*gemm)(const Gemm&);
    void (*layernorm)(const LayerNormRows&);
    uint32_t (*softmax)(const SoftmaxRow&);   // returns the sum of the values of the codes
    void (*quotient)(const QuotientRow&);
    void (*rotary)(const RotaryRow&);
    void (*multiply)(const MultiplyRow&);
    int64_t (
        *probe)();   // runs dot products for some microseconds, and returns their number of products; may be null
    void (*release)() = nullptr;   // ends a thread's use of the set: leaves no state of its own in the CPU
    int query_rows = 16;   // of attention, that go through scores, softmax and values together; their scores stay in cache
};
constexpr int kLargestQueryRows = 32;

// Null if the set is not in the build.
const Kernels* kernels_scalar();
const Kernels* kernels_avx2();
const Kernels* kernels_avxvnni();
const Kernels* kernels_vnni256();
const Kernels* kernels_avx512vnni();
const Kernels* kernels_amx();
const Kernels* kernels_dotprod();
const Kernels* kernels_i8mm();

// Softmax code of every distance in steps of 2^-kExp2Bits octaves, made from kExp2Table.
constexpr uint32_t kLargestDistance = (uint32_t{1} << kDistanceBits) - 1;
constexpr uint32_t kLargestOctaves = kLargestDistance * kOctaveFactor >> kOctaveFactorFraction;
constexpr int kSoftmaxCodes = (kLargestOctaves >> (kOctaveFraction - kExp2Bits)) + 1;
extern const std::array<uint8_t, kSoftmaxCodes> softmax_codes;

}   // namespace p2vit
