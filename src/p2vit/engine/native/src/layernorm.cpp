// LayerNorm.
#include <algorithm>

#include "step_values.h"

namespace p2vit {
namespace {

class LayerNormStep final : public Step {
  public:
    LayerNormStep(const Kernels* kernels, LayerNormConfig config, int in, int out, int channels, bool wide)
        : kernels_(kernels), config_(std::move(config)), in_(in), out_(out), channels_(channels), wide_(wide) {
        least_ = *std::min_element(config_.shift.begin(), config_.shift.end());
        config_.shift.resize(round_up(channels, 64), least_);
        if (std::all_of(config_.input_shift.begin(), config_.input_shift.end(), [](uint8_t s) { return s == 0; }))
            config_.input_shift.clear();
    }

    void run(const Work& work, int first, int count) const override {
        LayerNormRows p;
        p.x = work.row(in_, first);
        p.x_pitch = work.pitch(in_);
        p.wide = wide_;
        p.rows = count;
        p.channels = channels_;
        p.input_shift = config_.input_shift.empty() ? nullptr : config_.input_shift.data();
        p.input_bits = config_.input_bits;
        p.table = config_.table.data();
        p.shift = config_.shift.data();
        p.least_shift = least_;
        p.epsilon = config_.epsilon;
        p.epsilon_shift = config_.epsilon_shift;
        p.squares_shift = config_.squares_shift;
        p.out_bits = config_.out_bits;
        p.out = work.row(out_, first);
        p.out_pitch = work.pitch(out_);
        p.scratch = reinterpret_cast<int16_t*>(work.scratch);
        kernels_->layernorm(p);
    }

    size_t scratch() const override { return norm_scratch(channels_); }

  private:
    const Kernels* kernels_;
    LayerNormConfig config_;
    int in_, out_, channels_, least_;
    bool wide_;
};

}   // namespace

void add_layernorm(Plan& plan, const Nodes& nodes, LayerNormConfig c, int in, int out) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    const int n = x.columns;
    require(n >= 2 && n <= kNormLargestChannels && (x.kind == Kind::biased8 || x.kind == Kind::int16),
            "LayerNorm reads 2..16384 channels of int8 or int16");
    require(y.columns == n && y.kind != Kind::raw && kind_bits(y.kind) == c.out_bits && c.out_bits <= 16,
            "the output of LayerNorm has another shape");
    require(
        c.table.size() == kRootEntries && std::all_of(c.table.begin(), c.table.end(), [](uint16_t v) { return v < 1 << kRootEntryBits; }),
        "the table of LayerNorm");
    require_shifts(c.shift, n, kNormLeastShift, kNormLargestShift, "a shift of LayerNorm leaves 14..30");
    require(c.input_shift.empty() || int(c.input_shift.size()) == n, "the input shifts of LayerNorm");
    for (uint8_t s : c.input_shift) require(s <= 31, "an input shift of LayerNorm leaves 0..31");
    require(c.input_bits >= 2 && c.input_bits <= 16 && c.epsilon >= 0 && c.epsilon <= 1 << kEpsilonBits,
            "input_bits or epsilon of LayerNorm");
    require(c.epsilon_shift >= kEpsilonLeastShift && c.epsilon_shift <= kEpsilonLargestShift && c.squares_shift >= 0 &&
                c.squares_shift <= kCentredBits,
            "epsilon_shift or squares_shift");
    require((int64_t{n} << (2 * (kCentredBits - c.squares_shift))) <= 1 << kSquaresBits, "the squares of LayerNorm do not fit");
    const bool wide = x.kind == Kind::int16;
    plan.add_step(std::make_unique<LayerNormStep>(plan.kernels(), std::move(c), in, out, n, wide), nodes,
                  {{in, false}, {out, false}});
}

}   // namespace p2vit
