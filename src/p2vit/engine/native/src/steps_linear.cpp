// Patches, linear layers and LayerNorm.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "steps.h"

namespace p2vit {

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

namespace {

// Cuts an image into flattened patches. x − 128 stored with its sign bit inverted is the pixel itself.
class PatchStep final : public Step {
  public:
    PatchStep(int out, int patch, int width, int channels)
        : out_(out), patch_(patch), width_(width), channels_(channels) {}

    void run(const Work& work, int first, int count) const override {
        const int across = width_ / patch_;
        const size_t line = size_t(patch_) * channels_, pitch = size_t(width_) * channels_;
        for (int r = first; r < first + count; ++r) {
            const uint8_t* source = work.pixels + (r / across) * patch_ * pitch + (r % across) * line;
            auto* out = reinterpret_cast<uint8_t*>(work.row(out_, r));
            for (int y = 0; y < patch_; ++y) std::memcpy(out + y * line, source + y * pitch, line);
        }
    }

  private:
    int out_, patch_, width_, channels_;
};

class LinearStep final : public Step {
  public:
    LinearStep(const Kernels* kernels, std::shared_ptr<PackedLinear> weights, int in, int out, int out_row_offset,
               std::vector<uint8_t> table, std::optional<Residual> residual, bool wide,
               size_t constant_pitch)
        : kernels_(kernels),
          weights_(std::move(weights)),
          in_(in),
          out_(out),
          out_row_offset_(out_row_offset),
          table_(std::move(table)),
          residual_(std::move(residual)),
          residual_wide_(wide),
          constant_pitch_(constant_pitch) {
        if (!residual_) return;
        auto zero = [](const std::vector<int32_t>& v) {
            return std::all_of(v.begin(), v.end(), [](int32_t x) { return x == 0; });
        };
        plain_ = zero(residual_->left_own) && zero(residual_->left_residual) && zero(residual_->shift);
        for (auto* v : {&residual_->left_own, &residual_->left_residual, &residual_->shift})
            v->resize(weights_->panels() * kPanel, 0);
    }

    void run(const Work& work, int first, int count) const override {
        Gemm g;
        g.a = reinterpret_cast<const uint8_t*>(work.row(in_, first));
        g.a_pitch = work.pitch(in_);
        g.rows = count;
        g.b = weights_->weight();
        g.nibbles = weights_->nibbles();
        g.quads = weights_->quads();
        g.panels = weights_->panels();
        g.bias = weights_->bias();
        g.scratch = work.scratch;
        Epilogue& e = g.end;
        e.bits = e.out_bits = weights_->bits();
        e.shift = weights_->shift();
        if (!table_.empty()) e.table = table_.data();
        e.table_pitch = table_.size() > 256 ? 256 : 0;
        e.out = work.row(out_, first + out_row_offset_);
        e.out_pitch = work.pitch(out_);
        if (residual_) {
            e.out_bits = residual_->out_bits;
            e.residual_wide = residual_wide_;
            if (residual_->buffer >= 0) {
                e.residual = work.row(residual_->buffer, first);
                e.residual_pitch = work.pitch(residual_->buffer);
            } else {
                e.residual = residual_->constant.data() + size_t(first) * constant_pitch_;
                e.residual_pitch = ptrdiff_t(constant_pitch_ * sizeof(int16_t));
            }
            e.plain = plain_;
            e.left_own = residual_->left_own.data();
            e.left_residual = residual_->left_residual.data();
            e.add_shift = residual_->shift.data();
        }
        kernels_->gemm(g);
    }

    size_t scratch() const override { return gemm_scratch(weights_->quads()); }

  private:
    const Kernels* kernels_;
    std::shared_ptr<PackedLinear> weights_;
    int in_, out_, out_row_offset_;
    std::vector<uint8_t> table_;
    std::optional<Residual> residual_;
    bool residual_wide_, plain_ = true;
    size_t constant_pitch_;
};

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

    size_t scratch() const override { return 2 * sizeof(int16_t) * round_up(channels_, 64) + 256; }

  private:
    const Kernels* kernels_;
    LayerNormConfig config_;
    int in_, out_, channels_, least_;
    bool wide_;
};

void require_shifts(const std::vector<int32_t>& values, size_t count, int low, int high, const char* message) {
    require(values.size() == count, message);
    for (int32_t v : values) require(v >= low && v <= high, message);
}

}   // namespace

void add_patches(Plan& plan, const Nodes& nodes, int out, int patch) {
    const Buffer& b = plan.buffer(out);
    require(patch >= 1 && plan.height() % patch == 0 && plan.width() % patch == 0, "patches do not divide the image");
    require(b.kind == Kind::biased8 && b.rows == (plan.height() / patch) * (plan.width() / patch) &&
                b.columns == patch * patch * plan.channels(),
            "the patch buffer has another shape");
    plan.add_step(std::make_unique<PatchStep>(out, patch, plan.width(), plan.channels()), nodes, {{out, false}});
}

void add_linear(Plan& plan, const Nodes& nodes, std::shared_ptr<PackedLinear> weights, int in, int out,
                int out_row_offset, std::vector<uint8_t> table, std::optional<Residual> residual) {
    require(weights != nullptr, "no weights");
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(x.kind == Kind::biased8 && x.columns == weights->inputs(),
            "a linear layer reads int8 rows of its weights' length");
    require(weights->bits() == 32 || weights->exact(), "the layer's accumulator does not provably fit int32");
    require(y.columns == weights->outputs() && y.kind != Kind::raw &&
                kind_bits(y.kind) == (residual ? residual->out_bits : weights->bits()),
            "the output of a linear layer has another width");
    require(out_row_offset >= 0 && out_row_offset <= y.rows &&
                y.rows >= plan.stage_first() + plan.stage_rows() + out_row_offset,
            "the output of a linear layer has too few rows");
    require(table.empty() || (weights->bits() == 8 && !residual), "a table follows 8 bits only");
    require(table.size() <= 256 || table.size() == size_t(ceil_div(weights->outputs(), kTableColumns)) * 256,
            "tables are given for another number of columns");
    std::vector<Access> accesses{{in, false}, {out, out_row_offset != 0}};
    bool wide = true;
    size_t pitch = 0;
    if (residual) {
        const size_t n = weights->outputs();
        require(weights->bits() != 32 && (residual->out_bits == 8 || residual->out_bits == 16),
                "a residual add stores 8 or 16 bits");
        require_shifts(residual->left_own, n, 0, 15, "left shift of a residual add");
        require_shifts(residual->left_residual, n, 0, 15, "left shift of a residual add");
        require_shifts(residual->shift, n, 0, 15, "right shift of a residual add");
        if (residual->buffer >= 0) {
            const Buffer& r = plan.buffer(residual->buffer);
            require((r.kind == Kind::biased8 || r.kind == Kind::int16) && r.columns == int(n),
                    "the residual has another shape");
            require(out_row_offset == 0, "a residual stands in the rows of the output");
            wide = r.kind == Kind::int16;
            accesses.push_back({residual->buffer, false});
        } else {
            require(plan.stage_first() == 0 && residual->constant.size() == n * plan.stage_rows(),
                    "the position embedding has another shape");
            pitch = round_up(n, kPanel);
            std::vector<int16_t> padded(pitch * plan.stage_rows());
            for (int r = 0; r < plan.stage_rows(); ++r)
                std::copy_n(residual->constant.data() + r * n, n, padded.data() + r * pitch);
            residual->constant = std::move(padded);
        }
    }
    plan.add_step(std::make_unique<LinearStep>(plan.kernels(), std::move(weights), in, out, out_row_offset,
                                               std::move(table), std::move(residual), wide, pitch),
                  nodes, std::move(accesses));
}

void add_layernorm(Plan& plan, const Nodes& nodes, LayerNormConfig c, int in, int out) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    const int n = x.columns;
    require(n >= 2 && n <= 1 << 14 && (x.kind == Kind::biased8 || x.kind == Kind::int16),
            "LayerNorm reads 2..16384 channels of int8 or int16");
    require(y.columns == n && y.kind != Kind::raw && kind_bits(y.kind) == c.out_bits && c.out_bits <= 16,
            "the output of LayerNorm has another shape");
    require(
        c.table.size() == 768 && std::all_of(c.table.begin(), c.table.end(), [](uint16_t v) { return v < 1 << 15; }),
        "the table of LayerNorm");
    require_shifts(c.shift, n, -16, 30, "a shift of LayerNorm leaves -16..30");
    require(c.input_shift.empty() || int(c.input_shift.size()) == n, "the input shifts of LayerNorm");
    for (uint8_t s : c.input_shift) require(s <= 31, "an input shift of LayerNorm leaves 0..31");
    require(c.input_bits >= 2 && c.input_bits <= 16 && c.epsilon >= 0 && c.epsilon <= 1 << 29,
            "input_bits or epsilon of LayerNorm");
    require(c.epsilon_shift >= -14 && c.epsilon_shift <= 31 && c.squares_shift >= 0 && c.squares_shift <= 14,
            "epsilon_shift or squares_shift");
    require((int64_t{n} << (2 * (14 - c.squares_shift))) <= 1 << 30, "the squares of LayerNorm do not fit");
    const bool wide = x.kind == Kind::int16;
    plan.add_step(std::make_unique<LayerNormStep>(plan.kernels(), std::move(c), in, out, n, wide), nodes,
                  {{in, false}, {out, false}});
}

}   // namespace p2vit
