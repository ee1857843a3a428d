// Linear layers with their fused epilogue.
#include <algorithm>

#include "step_values.h"

namespace p2vit {
namespace {

class LinearStep final : public Step {
  public:
    LinearStep(const Kernels* kernels, std::shared_ptr<PackedLinear> weights, int in, int out, int out_row_offset,
               std::vector<uint8_t> table, std::optional<Residual> residual)
        : kernels_(kernels),
          weights_(std::move(weights)),
          in_(in),
          out_(out),
          out_row_offset_(out_row_offset),
          table_(std::move(table)),
          residual_(std::move(residual)) {
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
        e.table_pitch = table_.size() > kTableEntries ? kTableEntries : 0;
        e.out = work.row(out_, first + out_row_offset_);
        e.out_pitch = work.pitch(out_);
        if (residual_) {
            e.out_bits = residual_->out_bits;
            e.residual_wide = residual_->wide;
            if (residual_->buffer >= 0) {
                e.residual = work.row(residual_->buffer, first);
                e.residual_pitch = work.pitch(residual_->buffer);
            } else {
                e.residual = residual_->constant.data() + size_t(first) * residual_->constant_pitch;
                e.residual_pitch = ptrdiff_t(residual_->constant_pitch * sizeof(int16_t));
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
    bool plain_ = true;
};

}   // namespace

void add_linear(Plan& plan, const Nodes& nodes, std::shared_ptr<PackedLinear> weights, int in, int out,
                int out_row_offset, std::vector<uint8_t> table, std::optional<Residual> residual) {
    require(weights != nullptr, "no weights");
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(x.kind == Kind::biased8 && x.columns == weights->inputs(),
            "a linear layer reads int8 rows with as many columns as its weights");
    require(weights->bits() == 32 || weights->exact(), "the layer's accumulator does not provably fit int32");
    require(y.columns == weights->outputs() && y.kind != Kind::raw &&
                kind_bits(y.kind) == (residual ? residual->out_bits : weights->bits()),
            "the output of a linear layer has the wrong width");
    require(out_row_offset >= 0 && out_row_offset <= y.rows &&
                y.rows >= plan.stage_first() + plan.stage_rows() + out_row_offset,
            "the output of a linear layer has too few rows");
    require(table.empty() || (weights->bits() == 8 && !residual), "a table needs an 8-bit result and no residual add");
    require(table.size() <= kTableEntries || table.size() == size_t(ceil_div(weights->outputs(), kTableColumns)) * kTableEntries,
            "wrong number of tables for the columns");
    std::vector<Access> accesses{{in, false}, {out, out_row_offset != 0}};
    if (residual) {
        const size_t n = weights->outputs();
        require(weights->bits() != 32 && (residual->out_bits == 8 || residual->out_bits == 16),
                "a residual add stores 8 or 16 bits");
        require_shifts(residual->left_own, n, 0, kAddLargestShift, "left shift of a residual add");
        require_shifts(residual->left_residual, n, 0, kAddLargestShift, "left shift of a residual add");
        require_shifts(residual->shift, n, 0, kAddLargestShift, "right shift of a residual add");
        if (residual->buffer >= 0) {
            const Buffer& r = plan.buffer(residual->buffer);
            require((r.kind == Kind::biased8 || r.kind == Kind::int16) && r.columns == int(n),
                    "the residual has the wrong shape");
            require(out_row_offset == 0, "a residual from a buffer needs the same rows as the output");
            residual->wide = r.kind == Kind::int16;
            accesses.push_back({residual->buffer, false});
        } else {
            require(plan.stage_first() == 0 && residual->constant.size() == n * plan.stage_rows(),
                    "the position embedding has the wrong shape");
            const size_t pitch = residual->constant_pitch = round_up(n, kPanel);
            std::vector<int16_t> padded(pitch * plan.stage_rows());
            for (int r = 0; r < plan.stage_rows(); ++r)
                std::copy_n(residual->constant.data() + r * n, n, padded.data() + r * pitch);
            residual->constant = std::move(padded);
        }
    }
    plan.add_step(std::make_unique<LinearStep>(plan.kernels(), std::move(weights), in, out, out_row_offset,
                                               std::move(table), std::move(residual)),
                  nodes, std::move(accesses));
}

}   // namespace p2vit
