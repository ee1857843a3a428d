// A residual add that is not fused.
#include "rounding.h"
#include "step_values.h"

namespace p2vit {
namespace {

class SumStep final : public Step {
  public:
    SumStep(int a, int b, int out, std::vector<int32_t> left_a, std::vector<int32_t> left_b, std::vector<int32_t> shift)
        : a_(a), b_(b), out_(out), left_a_(std::move(left_a)), left_b_(std::move(left_b)), shift_(std::move(shift)) {}

    void run(const Work& work, int first, int count) const override {
        const Buffer &a = (*work.buffers)[a_], &b = (*work.buffers)[b_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r) {
            const std::byte *from = work.row(a_, r), *other = work.row(b_, r);
            std::byte* to = work.row(out_, r);
            for (int c = 0; c < y.columns; ++c) {
                const int64_t sum = (load(from, a.kind, c) << left_a_[c]) + (load(other, b.kind, c) << left_b_[c]);
                store(to, y.kind, c, requantize(sum, shift_[c], kind_bits(y.kind)));
            }
        }
    }

  private:
    int a_, b_, out_;
    std::vector<int32_t> left_a_, left_b_, shift_;
};

}   // namespace

void add_sum(Plan& plan, const Nodes& nodes, int a, int b, int out, std::vector<int32_t> left_a,
             std::vector<int32_t> left_b, std::vector<int32_t> shift) {
    require_pair(plan, a, out);
    require_pair(plan, b, out);
    const int n = plan.buffer(out).columns;
    for (const auto* v : {&left_a, &left_b, &shift})
        require_shifts(*v, n, 0, kAddLargestShift, "a shift of a residual add leaves 0..15");
    require(kind_bits(plan.buffer(out).kind) <= 16, "a residual add stores 8 or 16 bits");
    plan.add_step(std::make_unique<SumStep>(a, b, out, std::move(left_a), std::move(left_b), std::move(shift)), nodes,
                  {{a, false}, {b, false}, {out, false}});
}

}   // namespace p2vit
