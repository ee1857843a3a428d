// Patches of the image, and steps that add, select and sum tokens.
#include <cstring>

#include "rounding.h"
#include "step_values.h"

namespace p2vit {
namespace {

// Cuts an image into flattened patches. The value is x − 128, and its biased byte is the pixel itself.
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

class ConstantRowsStep final : public Step {
  public:
    ConstantRowsStep(int out, std::vector<int16_t> rows, int count, int stage_first)
        : out_(out), rows_(std::move(rows)), count_(count), stage_first_(stage_first) {}

    void run(const Work& work, int first, int) const override {
        if (first != stage_first_) return;
        const Buffer& y = (*work.buffers)[out_];
        for (int r = 0; r < count_; ++r)
            for (int c = 0; c < y.columns; ++c) store(work.row(out_, r), y.kind, c, rows_[size_t(r) * y.columns + c]);
    }

  private:
    int out_;
    std::vector<int16_t> rows_;
    int count_, stage_first_;
};

class PositionStep final : public Step {
  public:
    PositionStep(int in, int out, int offset, std::vector<int16_t> position)
        : in_(in), out_(out), offset_(offset), position_(std::move(position)) {}

    void run(const Work& work, int first, int count) const override {
        const Buffer &x = (*work.buffers)[in_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r)
            for (int c = 0; c < y.columns; ++c) {
                const int64_t sum = load(work.row(in_, r), x.kind, c) + position_[size_t(r) * y.columns + c];
                store(work.row(out_, r + offset_), y.kind, c, saturate(sum, kind_bits(y.kind)));
            }
    }

  private:
    int in_, out_, offset_;
    std::vector<int16_t> position_;
};

class SelectStep final : public Step {
  public:
    SelectStep(int in, int out, int index, size_t bytes) : in_(in), out_(out), index_(index), bytes_(bytes) {}
    void run(const Work& work, int, int) const override {
        std::memcpy(work.row(out_, 0), work.row(in_, index_), bytes_);
    }

  private:
    int in_, out_, index_;
    size_t bytes_;
};

class TokenSumStep final : public Step {
  public:
    TokenSumStep(int in, int out, int first, int count, std::vector<int32_t> shift)
        : in_(in), out_(out), first_(first), count_(count), shift_(std::move(shift)) {}

    void run(const Work& work, int, int) const override {
        const Buffer &x = (*work.buffers)[in_], &y = (*work.buffers)[out_];
        for (int c = 0; c < y.columns; ++c) {
            int64_t sum = 0;
            for (int r = first_; r < first_ + count_; ++r) sum += load(work.row(in_, r), x.kind, c);
            store(work.row(out_, 0), y.kind, c, requantize(sum, shift_[c], kind_bits(y.kind)));
        }
    }

  private:
    int in_, out_, first_, count_;
    std::vector<int32_t> shift_;
};

}   // namespace

void add_patches(Plan& plan, const Nodes& nodes, int out, int patch) {
    const Buffer& b = plan.buffer(out);
    require(patch >= 1 && plan.height() % patch == 0 && plan.width() % patch == 0, "patches do not divide the image");
    require(b.kind == Kind::biased8 && b.rows == (plan.height() / patch) * (plan.width() / patch) &&
                b.columns == patch * patch * plan.channels(),
            "the patch buffer has the wrong shape");
    plan.add_step(std::make_unique<PatchStep>(out, patch, plan.width(), plan.channels()), nodes, {{out, false}});
}

void add_constant_rows(Plan& plan, const Nodes& nodes, int out, std::vector<int16_t> rows, int count) {
    const Buffer& y = plan.buffer(out);
    require(numeric(y) && count >= 0 && count <= y.rows && rows.size() == size_t(count) * y.columns,
            "constant rows have the wrong shape");
    plan.add_step(std::make_unique<ConstantRowsStep>(out, std::move(rows), count, 0), nodes, {{out, true}});
}

void add_position(Plan& plan, const Nodes& nodes, int in, int out, int offset, std::vector<int16_t> position) {
    require_pair(plan, in, out);
    require(plan.stage_first() == 0 && offset >= 0 && offset <= plan.buffer(out).rows &&
                plan.stage_rows() + offset <= plan.buffer(out).rows,
            "the positions have more rows than the output");
    require(position.size() == size_t(plan.stage_rows()) * plan.buffer(out).columns,
            "the position embedding has the wrong shape");
    plan.add_step(std::make_unique<PositionStep>(in, out, offset, std::move(position)), nodes,
                  {{in, false}, {out, true}});
}

void add_select(Plan& plan, const Nodes& nodes, int in, int out, int index) {
    require_pair(plan, in, out);
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(x.kind == y.kind && index >= 0 && index < x.rows && plan.stage_first() == 0 && plan.stage_rows() == 1,
            "no such token");
    plan.add_step(std::make_unique<SelectStep>(in, out, index, size_t(x.columns) * kind_bits(x.kind) / 8), nodes,
                  {{in, true}, {out, false}});
}

void add_token_sum(Plan& plan, const Nodes& nodes, int in, int out, int first, int count, std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    require(first >= 0 && count >= 1 && count <= plan.buffer(in).rows - first && plan.stage_first() == 0 &&
                plan.stage_rows() == 1,
            "tokens to sum");
    require_shifts(shift, plan.buffer(in).columns, 0, kSumLargestShift, "a shift of a token sum leaves 0..30");
    plan.add_step(std::make_unique<TokenSumStep>(in, out, first, count, std::move(shift)), nodes,
                  {{in, true}, {out, false}});
}

}   // namespace p2vit
