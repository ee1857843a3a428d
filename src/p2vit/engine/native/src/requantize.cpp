// Re-quantization of accumulators for which the fused epilogue is not exact.
#include "rounding.h"
#include "step_values.h"

namespace p2vit {

void add_requantize(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    require_shifts(shift, plan.buffer(in).columns, -kLinearLargestShift, kLinearLargestShift, "a shift leaves -31..31");
    const int bits = kind_bits(plan.buffer(out).kind);
    add_map(plan, nodes, in, out, [=](int64_t x, int c) { return requantize(x, shift[c], bits); });
}

}   // namespace p2vit
