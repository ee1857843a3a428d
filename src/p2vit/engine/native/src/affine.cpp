// Gain and bias per channel.
#include "rounding.h"
#include "step_values.h"

namespace p2vit {
namespace {

// y[c] = requantize(x[c] · gain[c] + bias[c]), row by row.
class AffineStep final : public Step {
  public:
    AffineStep(int in, int out, std::vector<int32_t> gain, std::vector<int32_t> bias, std::vector<int32_t> shift)
        : in_(in), out_(out), gain_(std::move(gain)), bias_(std::move(bias)), shift_(std::move(shift)) {}

    void run(const Work& work, int first, int count) const override {
        const Buffer &x = (*work.buffers)[in_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r) {
            if (x.kind == Kind::int16 && y.kind == Kind::int16)
                row(reinterpret_cast<const int16_t*>(work.row(in_, r)), reinterpret_cast<int16_t*>(work.row(out_, r)));
            else
                for (int c = 0; c < y.columns; ++c)
                    store(work.row(out_, r), y.kind, c, value(load(work.row(in_, r), x.kind, c), c, kind_bits(y.kind)));
        }
    }

  private:
    int64_t value(int64_t x, int c, int bits) const { return requantize(x * gain_[c] + bias_[c], shift_[c], bits); }
    void row(const int16_t* x, int16_t* y) const {
        for (size_t c = 0; c < gain_.size(); ++c) y[c] = int16_t(value(x[c], int(c), 16));
    }

    int in_, out_;
    std::vector<int32_t> gain_, bias_, shift_;
};

}   // namespace

void add_affine(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> gain, std::vector<int32_t> bias,
                std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    const int n = plan.buffer(in).columns;
    require(int(bias.size()) == n, "the bias of an affine step");
    require_shifts(gain, n, -32768, 32767, "the gain of an affine step");
    require_shifts(shift, n, kAffineLeastShift, kAffineLargestShift, "a shift of an affine step leaves -8..30");
    plan.add_step(std::make_unique<AffineStep>(in, out, std::move(gain), std::move(bias), std::move(shift)), nodes,
                  {{in, false}, {out, false}});
}

}   // namespace p2vit
