#include "packing.h"

#include <algorithm>
#include <limits>

#include "kernels.h"

namespace p2vit {

namespace {

// Σw and the sum of the positive weights of one row; at most 2^16 weights, so 32 bits hold both.
struct RowSums {
    int32_t all = 0, positive = 0;
};

RowSums sums_of(const int8_t* row, int inputs) {
    RowSums s;
    for (int k = 0; k < inputs; ++k) {
        s.all += row[k];
        s.positive += row[k] > 0 ? row[k] : 0;
    }
    return s;
}

int64_t rounding_half(int shift) { return shift > 0 && shift < 32 ? int64_t{1} << (shift - 1) : 0; }

bool row_fits(RowSums s, int32_t bias, int shift) {
    const int64_t positive = s.positive, negative = positive - s.all;
    const int64_t high = 127 * positive + 128 * negative + std::max(bias, 0) + rounding_half(shift);
    const int64_t low = -128 * positive - 127 * negative + std::min(bias, 0);
    return shift >= 0 && shift <= 31 && high <= std::numeric_limits<int32_t>::max() &&
           low >= std::numeric_limits<int32_t>::min();
}

}   // namespace

bool fits_int32(const LinearPart& part, int inputs) {
    for (int row = 0; row < part.outputs; ++row)
        if (!row_fits(sums_of(part.weight + size_t(row) * inputs, inputs), part.bias[row], part.shift[row]))
            return false;
    return true;
}

PackedLinear::PackedLinear(const std::vector<LinearPart>& parts, int inputs, int bits, bool nibbles)
    : inputs_(inputs), quads_(ceil_div(inputs, kQuad)), bits_(bits), nibbles_(nibbles) {
    for (const LinearPart& part : parts) outputs_ += part.outputs;
    panels_ = ceil_div(outputs_, kPanel);
    const size_t bytes = size_t(panels_) * quads_ * kPanel * kQuad / (nibbles ? 2 : 1);
    storage_.resize(bytes + kRowAlign);
    weight_ = storage_.data() + (kRowAlign - reinterpret_cast<uintptr_t>(storage_.data()) % kRowAlign) % kRowAlign;
    bias_.resize(panels_ * kPanel);
    shift_.resize(panels_ * kPanel);
    int column = 0;
    for (const LinearPart& part : parts)
        for (int row = 0; row < part.outputs; ++row) pack_row(part, row, column++);
}

void PackedLinear::pack_row(const LinearPart& part, int row, int column) {
    const int8_t* source = part.weight + size_t(row) * inputs_;
    int8_t* panel = weight_ + size_t(column / kPanel) * quads_ * kPanel * kQuad / (nibbles_ ? 2 : 1);
    const int lane = column % kPanel * kQuad;
    if (nibbles_) {
        // In a group of 64 weights the byte i holds weight i below and weight i + 32 above.
        const int half = lane / 32 * 4;
        for (int k = 0; k < inputs_; ++k) {
            auto& byte = reinterpret_cast<uint8_t&>(panel[size_t(k / kQuad) * 32 + lane % 32 + k % kQuad]);
            byte = uint8_t(byte | (source[k] & 15) << half);
        }
    } else {
        int k = 0;
        for (; k + kQuad <= inputs_; k += kQuad) std::copy_n(source + k, kQuad, panel + size_t(k) * kPanel + lane);
        std::copy_n(source + k, inputs_ - k, panel + size_t(k) * kPanel + lane);
    }
    const int shift = bits_ == 32 ? 0 : part.shift[row];
    const RowSums sums = sums_of(source, inputs_);
    if (bits_ != 32 && !row_fits(sums, part.bias[row], shift)) exact_ = false;
    // Modulo 2^32: the dot product of biased inputs wraps around the same way.
    bias_[column] = int32_t(uint32_t(int64_t{part.bias[row]} + rounding_half(shift) - 128 * int64_t{sums.all}));
    shift_[column] = shift;
}

}   // namespace p2vit
