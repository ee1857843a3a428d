// Rotary position embedding: neighbouring channels turned by an angle that depends on the row.
#include "rounding.h"
#include "step_values.h"

namespace p2vit {
namespace {

// Pair p of row r turns by the angle whose cosine and sine stand at [r][p % pairs].
class RotaryStep final : public Step {
  public:
    RotaryStep(const Kernels* kernels, int in, int out, int pairs, std::vector<int16_t> cosine, std::vector<int16_t> sine,
               std::vector<int32_t> shift)
        : kernels_(kernels), in_(in), out_(out), pairs_(pairs), cosine_(std::move(cosine)), sine_(std::move(sine)),
          shift_(std::move(shift)) {
        for (int32_t s : shift_) half_.push_back(s > 0 ? int32_t{1} << (s - 1) : 0);
    }

    void run(const Work& work, int first, int count) const override {
        const Buffer &x = (*work.buffers)[in_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r) {
            const std::byte* from = work.row(in_, r);
            std::byte* to = work.row(out_, r);
            if (x.kind == Kind::int16 && y.kind == Kind::biased8)
                // What queries and keys are.
                kernels_->rotary({reinterpret_cast<const int16_t*>(from), reinterpret_cast<uint8_t*>(to), y.columns, pairs_,
                                  &cosine_[size_t(r) * pairs_], &sine_[size_t(r) * pairs_], shift_.data(), half_.data()});
            else
                any(from, x.kind, to, y.kind, r, y.columns);
        }
    }

  private:
    void any(const std::byte* x, Kind from, std::byte* y, Kind to, int r, int columns) const {
        for (int c = 0; c < columns; c += 2) {
            const size_t at = size_t(r) * pairs_ + c / 2 % pairs_;
            const int64_t a = load(x, from, c), b = load(x, from, c + 1), cosine = cosine_[at], sine = sine_[at];
            store(y, to, c, requantize(a * cosine - b * sine, shift_[c], kind_bits(to)));
            store(y, to, c + 1, requantize(a * sine + b * cosine, shift_[c + 1], kind_bits(to)));
        }
    }

    const Kernels* kernels_;
    int in_, out_, pairs_;
    std::vector<int16_t> cosine_, sine_;
    std::vector<int32_t> shift_, half_;
};

}   // namespace

void add_rotary(Plan& plan, const Nodes& nodes, int in, int out, int pairs, std::vector<int16_t> cosine,
                std::vector<int16_t> sine, std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(pairs >= 1 && y.columns % 2 == 0 && y.columns / 2 % pairs == 0, "the pairs of a rotation");
    require(x.rows == y.rows, "input and output of a rotation have different rows");
    for (const auto* table : {&cosine, &sine}) {
        require(table->size() == size_t(y.rows) * pairs, "a table of a rotation has another size");
        for (int16_t v : *table)
            require(v >= -(1 << kRotaryFraction) && v <= 1 << kRotaryFraction, "a table of a rotation leaves -1..1");
    }
    require_shifts(shift, y.columns, kRotaryLeastShift, kRotaryLargestShift, "a shift of a rotation leaves 0..30");
    require(kind_bits(x.kind) <= 16 && kind_bits(y.kind) <= 16, "a rotation reads and stores 8 or 16 bits");
    plan.add_step(
        std::make_unique<RotaryStep>(plan.kernels(), in, out, pairs, std::move(cosine), std::move(sine), std::move(shift)), nodes,
        {{in, false}, {out, false}});
}

}   // namespace p2vit
