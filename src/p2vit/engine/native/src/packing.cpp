#include "packing.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "kernels.h"

namespace p2vit {

namespace {

// Σw of one row. At most 2^16 weights fit 32 bits; blocks of 128 weights fit 16 bits, which vectorises best.
int32_t sum_of(const int8_t* row, int inputs) {
    constexpr int kBlock = 128;
    int32_t sum = 0;
    for (int begin = 0; begin < inputs; begin += kBlock) {
        int16_t part = 0;
        for (int k = begin, end = std::min(inputs, begin + kBlock); k < end; ++k) part = int16_t(part + row[k]);
        sum += part;
    }
    return sum;
}

int64_t rounding_half(int shift) { return shift > 0 && shift < 32 ? int64_t{1} << (shift - 1) : 0; }

bool row_fits(const int8_t* row, int inputs, int32_t bias, int shift) {
    constexpr int64_t top = std::numeric_limits<int32_t>::max();
    if (shift < 0 || shift > 31) return false;
    // A bound for all weights and inputs; nearly every layer passes it.
    if (int64_t{128 * 128} * inputs + std::abs(int64_t{bias}) + rounding_half(shift) <= top) return true;
    int64_t all = 0, positive = 0;
    for (int k = 0; k < inputs; ++k) {
        all += row[k];
        positive += row[k] > 0 ? row[k] : 0;
    }
    const int64_t negative = positive - all;
    const int64_t high = 127 * positive + 128 * negative + std::max(bias, 0) + rounding_half(shift);
    const int64_t low = -128 * positive - 127 * negative + std::min(bias, 0);
    return high <= top && low >= std::numeric_limits<int32_t>::min();
}

}   // namespace

bool fits_int32(const LinearPart& part, int inputs) {
    for (int row = 0; row < part.outputs; ++row)
        if (!row_fits(part.weight + size_t(row) * inputs, inputs, part.bias[row], part.shift[row])) return false;
    return true;
}

PackedLinear::PackedLinear(const std::vector<LinearPart>& parts, int inputs, int bits, bool nibbles)
    : inputs_(inputs), quads_(ceil_div(inputs, kQuad)), bits_(bits), nibbles_(nibbles) {
    for (const LinearPart& part : parts) outputs_ += part.outputs;
    panels_ = ceil_div(outputs_, kPanel);
    const size_t panel_bytes = size_t(quads_) * kPanel * kQuad / (nibbles ? 2 : 1);
    bytes_ = panels_ * panel_bytes + kRowAlign + (nibbles ? 0 : kPackedSlack);
    // Not initialised, because every byte is written below.
    storage_ = std::make_unique_for_overwrite<int8_t[]>(bytes_);
    weight_ = storage_.get() + (kRowAlign - reinterpret_cast<uintptr_t>(storage_.get()) % kRowAlign) % kRowAlign;
    bias_.resize(panels_ * kPanel);
    shift_.resize(panels_ * kPanel);
    const std::vector<int8_t> none(inputs);   // weights of a padded column
    std::vector<const int8_t*> rows(size_t(panels_) * kPanel, none.data());
    int column = 0;
    for (const LinearPart& part : parts)
        for (int row = 0; row < part.outputs; ++row, ++column) {
            rows[column] = part.weight + size_t(row) * inputs_;
            fold(column, rows[column], part.bias[row], bits_ == 32 ? 0 : part.shift[row]);
        }
    for (int panel = 0; panel < panels_; ++panel)
        pack_panel(rows.data() + size_t(panel) * kPanel, weight_ + panel * panel_bytes);
}

void PackedLinear::fold(int column, const int8_t* row, int32_t bias, int shift) {
    if (bits_ != 32 && !row_fits(row, inputs_, bias, shift)) exact_ = false;
    // Modulo 2^32, because the dot product of biased inputs wraps around in the same way.
    bias_[column] = int32_t(uint32_t(int64_t{bias} + rounding_half(shift) - 128 * int64_t{sum_of(row, inputs_)}));
    shift_[column] = shift;
}

void PackedLinear::pack_panel(const int8_t* const* rows, int8_t* out) const {
    for (int quad = 0; quad < quads_; ++quad) {
        const int first = quad * kQuad, count = std::min(kQuad, inputs_ - first);
        // Four weights of a column, with zeros after the last.
        auto quad_of = [&](int column) {
            uint32_t four = 0;
            if (count == kQuad)
                std::memcpy(&four, rows[column] + first, kQuad);
            else
                std::memcpy(&four, rows[column] + first, count);
            return four;
        };
        if (nibbles_) {
            // In a group of 64 weights, byte i has weight i in its lower and weight i + 32 in its upper half.
            for (int c = 0; c < kPanel / 2; ++c, out += kQuad) {
                const uint32_t four = (quad_of(c) & 0x0F0F0F0F) | (quad_of(c + kPanel / 2) & 0x0F0F0F0F) << 4;
                std::memcpy(out, &four, kQuad);
            }
        } else {
            for (int c = 0; c < kPanel; ++c, out += kQuad) {
                const uint32_t four = quad_of(c);
                std::memcpy(out, &four, kQuad);
            }
        }
    }
}

}   // namespace p2vit
