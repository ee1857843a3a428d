// The table of softmax codes.
#include <algorithm>

#include "kernels.h"

namespace p2vit {
namespace {

static_assert(std::size(kExp2Table) == 1 << kExp2Bits, "the table is read with the fraction's upper bits");

constexpr std::array<uint8_t, kSoftmaxCodes> make_codes() {
    std::array<uint8_t, kSoftmaxCodes> codes{};
    for (int i = 0; i < kSoftmaxCodes; ++i) {
        const int shift = kExp2Shift + (i >> kExp2Bits), entry = kExp2Table[i & ((1 << kExp2Bits) - 1)];
        codes[i] = uint8_t(std::min(((entry >> (shift - 1)) + 1) >> 1, kLargestLinearCode));
    }
    return codes;
}

}   // namespace

constexpr std::array<uint8_t, kSoftmaxCodes> softmax_codes = make_codes();

}   // namespace p2vit
