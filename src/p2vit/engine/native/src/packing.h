// A linear layer's weights in the order in which the kernels read them, and its bias with folded constants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "aligned.h"

namespace p2vit {

// One linear layer of the program. Several that read the same tensor may be packed side by side.
struct LinearPart {
    const int8_t* weight;   // [outputs][inputs]
    const int32_t* bias;    // [outputs]
    const int8_t* shift;    // [outputs]
    int outputs;
};

// Returns whether the fused epilogue can be used: for all int8 inputs, every accumulator with its rounding constant fits
// int32, and every shift is a right shift of at most 31. Otherwise accumulators are re-quantized in 64 bits.
bool fits_int32(const LinearPart& part, int inputs);

class PackedLinear {
  public:
    // bits: 8 or 16 adds the rounding constant to the bias; 32 keeps the accumulator.
    PackedLinear(const std::vector<LinearPart>& parts, int inputs, int bits, bool nibbles);

    int inputs() const { return inputs_; }
    int outputs() const { return outputs_; }
    int quads() const { return quads_; }
    int panels() const { return panels_; }
    int bits() const { return bits_; }
    bool nibbles() const { return nibbles_; }
    const int8_t* weight() const { return weight_; }
    const int32_t* bias() const { return bias_.data(); }
    const int32_t* shift() const { return shift_.data(); }
    size_t bytes() const { return bytes_ + 4 * (bias_.size() + shift_.size()); }

    // Whether fits_int32 holds for all parts, or there is no re-quantization.
    bool exact() const { return exact_; }

  private:
    void fold(int column, const int8_t* row, int32_t bias, int shift);
    // Packs 16 rows in the order in which the kernels read them.
    void pack_panel(const int8_t* const* rows, int8_t* out) const;

    int inputs_, outputs_ = 0, quads_, panels_, bits_;
    bool nibbles_, exact_ = true;
    size_t bytes_;
    std::unique_ptr<int8_t[]> storage_;
    int8_t* weight_;
    AlignedVector<int32_t> bias_, shift_;
};

}   // namespace p2vit
