// Product of two tensors, number by number: the gate of a gated MLP.
#include "rounding.h"
#include "step_values.h"

namespace p2vit {
namespace {

class MultiplyStep final : public Step {
  public:
    MultiplyStep(const Kernels* kernels, int a, int b, int out, std::vector<int32_t> offset, std::vector<int32_t> shift)
        : kernels_(kernels), a_(a), b_(b), out_(out), offset_(std::move(offset)), shift_(std::move(shift)) {
        for (int32_t s : shift_) half_.push_back(s > 0 ? int32_t{1} << (s - 1) : 0);
    }

    void run(const Work& work, int first, int count) const override {
        const Buffer &a = (*work.buffers)[a_], &b = (*work.buffers)[b_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r) {
            const std::byte *from = work.row(a_, r), *other = work.row(b_, r);
            std::byte* to = work.row(out_, r);
            if (b.kind == Kind::biased8 && y.kind == Kind::biased8)
                kernels_->multiply({reinterpret_cast<const uint8_t*>(from), reinterpret_cast<const uint8_t*>(other),
                                    reinterpret_cast<uint8_t*>(to), y.columns, offset_.data(), shift_.data(),
                                    half_.data()});
            else
                for (int c = 0; c < y.columns; ++c) {
                    const int64_t product = (load(from, a.kind, c) + offset_[c]) * load(other, b.kind, c);
                    store(to, y.kind, c, requantize(product, shift_[c], kind_bits(y.kind)));
                }
        }
    }

  private:
    const Kernels* kernels_;
    int a_, b_, out_;
    std::vector<int32_t> offset_, shift_, half_;
};

}   // namespace

void add_multiply(Plan& plan, const Nodes& nodes, int a, int b, int out, std::vector<int32_t> offset,
                  std::vector<int32_t> shift) {
    require_pair(plan, a, out);
    require_pair(plan, b, out);
    const int n = plan.buffer(out).columns;
    require(plan.buffer(a).kind == Kind::biased8, "a product's first operand has 8 bits");
    require(kind_bits(plan.buffer(b).kind) <= 16, "a product's second operand has 8 or 16 bits");
    require(kind_bits(plan.buffer(out).kind) <= 16, "a product is stored with 8 or 16 bits");
    require_shifts(offset, n, -32768, 32767, "the offset of a product leaves int16");
    require_shifts(shift, n, 0, kMultiplyLargestShift, "a shift of a product leaves 0..30");
    plan.add_step(std::make_unique<MultiplyStep>(plan.kernels(), a, b, out, std::move(offset), std::move(shift)), nodes,
                  {{a, false}, {b, false}, {out, false}});
}

}   // namespace p2vit
