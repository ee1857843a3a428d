// A linear layer's weights in the order the kernels read them, with everything that can be folded into the bias.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace p2vit {

// One linear layer as the program holds it; several that read the same tensor may be packed side by side.
struct LinearPart {
    const int8_t* weight;   // [outputs][inputs]
    const int32_t* bias;    // [outputs]
    const int8_t* shift;    // [outputs]
    int outputs;
};

// Whether every accumulator provably fits int32 with its rounding half, for int8 inputs, and every shift is a right
// shift of at most 31: what the fused epilogue needs. Where it is not so, accumulators are re-quantized in 64 bits.
bool fits_int32(const LinearPart& part, int inputs);

class PackedLinear {
  public:
    // bits: 8 or 16 folds the rounding half into the bias; 32 leaves the accumulator alone.
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

    // fits_int32 of all parts, or no re-quantization at all.
    bool exact() const { return exact_; }

  private:
    void fold(int column, const int8_t* row, int32_t bias, int shift);
    // 16 rows in the order that the kernels read them.
    void pack_panel(const int8_t* const* rows, int8_t* out) const;

    int inputs_, outputs_ = 0, quads_, panels_, bits_;
    bool nibbles_, exact_ = true;
    size_t bytes_;
    std::unique_ptr<int8_t[]> storage_;
    int8_t* weight_;
    std::vector<int32_t> bias_, shift_;
};

}   // namespace p2vit
