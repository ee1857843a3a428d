// Steps on one number at a time, as the norm writes them: what the fused steps do not cover, and the exports.
#include <algorithm>
#include <cstring>
#include <functional>

#include "row_math.h"
#include "steps.h"

namespace p2vit {
namespace {

int64_t load(const std::byte* row, Kind kind, int c) {
    switch (kind) {
        case Kind::biased8: return int64_t(reinterpret_cast<const uint8_t*>(row)[c]) - 128;
        case Kind::int16: return reinterpret_cast<const int16_t*>(row)[c];
        default: return reinterpret_cast<const int32_t*>(row)[c];
    }
}

void store(std::byte* row, Kind kind, int c, int64_t value) {
    switch (kind) {
        case Kind::biased8: reinterpret_cast<uint8_t*>(row)[c] = uint8_t(value + 128); break;
        case Kind::int16: reinterpret_cast<int16_t*>(row)[c] = int16_t(value); break;
        default: reinterpret_cast<int32_t*>(row)[c] = int32_t(value);
    }
}

// y[c] = f(x[c], c), row by row.
class MapStep final : public Step {
  public:
    using Function = std::function<int64_t(int64_t, int)>;
    MapStep(int in, int out, Function f) : in_(in), out_(out), f_(std::move(f)) {}

    void run(const Work& work, int first, int count) const override {
        const Buffer &x = (*work.buffers)[in_], &y = (*work.buffers)[out_];
        for (int r = first; r < first + count; ++r) {
            const std::byte* from = work.row(in_, r);
            std::byte* to = work.row(out_, r);
            for (int c = 0; c < y.columns; ++c) store(to, y.kind, c, f_(load(from, x.kind, c), c));
        }
    }

  private:
    int in_, out_;
    Function f_;
};

// y[c] = requantize(x[c] · gain[c] + bias[c]), row by row: every token of a Swin's embedding goes through it.
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

class GatherStep final : public Step {
  public:
    GatherStep(int in, int out, std::vector<int32_t> index, const std::vector<int16_t>& fill, Kind kind)
        : in_(in), out_(out), index_(std::move(index)), bytes_(fill.size() * kind_bits(kind) / 8), fill_(bytes_) {
        for (size_t c = 0; c < fill.size(); ++c) store(fill_.data(), kind, int(c), fill[c]);
    }

    void run(const Work& work, int first, int count) const override {
        const size_t side = index_.size() / (*work.buffers)[out_].rows;
        for (int r = first; r < first + count; ++r) {
            std::byte* to = work.row(out_, r);
            for (size_t i = 0; i < side; ++i, to += bytes_) {
                const int source = index_[r * side + i];
                std::memcpy(to, source < 0 ? fill_.data() : work.row(in_, source), bytes_);
            }
        }
    }

  private:
    int in_, out_;
    std::vector<int32_t> index_;
    size_t bytes_;
    std::vector<std::byte> fill_;
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

class ExportStep final : public Step {
  public:
    ExportStep(int in, int column, int columns, int output)
        : in_(in), column_(column), columns_(columns), output_(output) {}

    void run(const Work& work, int first, int count) const override {
        const Buffer& x = (*work.buffers)[in_];
        const size_t width = kind_bits(x.kind) / 8, bytes = columns_ * width;
        for (int r = first; r < first + count; ++r) {
            const std::byte* from = work.row(in_, r) + column_ * width;
            std::byte* to = work.output(output_) + r * bytes;
            if (x.kind == Kind::biased8)
                for (int c = 0; c < columns_; ++c) to[c] = from[c] ^ std::byte{0x80};
            else
                std::memcpy(to, from, bytes);
        }
    }

  private:
    int in_, column_, columns_, output_;
};

bool numeric(const Buffer& b) { return b.kind != Kind::raw; }

void require_pair(const Plan& plan, int in, int out) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(numeric(x) && numeric(y) && x.columns == y.columns, "input and output have different columns");
}

void require_shifts(const std::vector<int32_t>& values, int count, int low, int high, const char* message) {
    require(int(values.size()) == count, message);
    for (int32_t v : values) require(v >= low && v <= high, message);
}

void add_map(Plan& plan, const Nodes& nodes, int in, int out, MapStep::Function f) {
    plan.add_step(std::make_unique<MapStep>(in, out, std::move(f)), nodes, {{in, false}, {out, false}});
}

}   // namespace

void add_requantize(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    require_shifts(shift, plan.buffer(in).columns, -31, 31, "a shift leaves -31..31");
    const int bits = kind_bits(plan.buffer(out).kind);
    add_map(plan, nodes, in, out, [=](int64_t x, int c) { return requantize(x, shift[c], bits); });
}

void add_lookup(Plan& plan, const Nodes& nodes, int in, int out, std::vector<uint8_t> table) {
    require_pair(plan, in, out);
    require(plan.buffer(in).kind == Kind::biased8 && plan.buffer(out).kind == Kind::biased8,
            "a table maps int8 to int8");
    const int columns = plan.buffer(in).columns, tables = int(table.size()) / 256;
    require(columns % tables == 0, "tables are given for another number of columns");
    add_map(plan, nodes, in, out, [table = std::move(table), each = columns / tables](int64_t x, int c) {
        return int64_t(table[c / each * 256 + x + 128]) - 128;
    });
}

void add_sum(Plan& plan, const Nodes& nodes, int a, int b, int out, std::vector<int32_t> left_a,
             std::vector<int32_t> left_b, std::vector<int32_t> shift) {
    require_pair(plan, a, out);
    require_pair(plan, b, out);
    const int n = plan.buffer(out).columns;
    for (const auto* v : {&left_a, &left_b, &shift})
        require_shifts(*v, n, 0, 15, "a shift of a residual add leaves 0..15");
    require(kind_bits(plan.buffer(out).kind) <= 16, "a residual add stores 8 or 16 bits");
    plan.add_step(std::make_unique<SumStep>(a, b, out, std::move(left_a), std::move(left_b), std::move(shift)), nodes,
                  {{a, false}, {b, false}, {out, false}});
}

void add_affine(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> gain, std::vector<int32_t> bias,
                std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    const int n = plan.buffer(in).columns;
    require(int(bias.size()) == n, "the bias of an affine step");
    require_shifts(gain, n, -32768, 32767, "the gain of an affine step");
    require_shifts(shift, n, -8, 30, "a shift of an affine step leaves -8..30");
    plan.add_step(std::make_unique<AffineStep>(in, out, std::move(gain), std::move(bias), std::move(shift)), nodes,
                  {{in, false}, {out, false}});
}

void add_constant_rows(Plan& plan, const Nodes& nodes, int out, std::vector<int16_t> rows, int count) {
    const Buffer& y = plan.buffer(out);
    require(numeric(y) && count >= 0 && count <= y.rows && rows.size() == size_t(count) * y.columns,
            "constant rows have another shape");
    plan.add_step(std::make_unique<ConstantRowsStep>(out, std::move(rows), count, 0), nodes, {{out, true}});
}

void add_position(Plan& plan, const Nodes& nodes, int in, int out, int offset, std::vector<int16_t> position) {
    require_pair(plan, in, out);
    require(plan.stage_first() == 0 && offset >= 0 && offset <= plan.buffer(out).rows &&
                plan.stage_rows() + offset <= plan.buffer(out).rows,
            "the positions leave the output");
    require(position.size() == size_t(plan.stage_rows()) * plan.buffer(out).columns,
            "the position embedding has another shape");
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

void add_gather(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> index,
                std::vector<int16_t> fill) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(numeric(x) && x.kind == y.kind && int(fill.size()) == x.columns, "gathered tokens are of another kind");
    require(!index.empty() && index.size() % y.rows == 0 &&
                index.size() / y.rows * size_t(x.columns) == size_t(y.columns),
            "gathered tokens have another shape");
    for (int32_t i : index) require(i >= -1 && i < x.rows, "no such token");
    const int bits = kind_bits(x.kind);
    for (int16_t v : fill) require(bits > 8 || (v >= -128 && v <= 127), "the fill token leaves int8");
    plan.add_step(std::make_unique<GatherStep>(in, out, std::move(index), fill, x.kind), nodes,
                  {{in, true}, {out, false}});
}

void add_token_sum(Plan& plan, const Nodes& nodes, int in, int out, int first, int count, std::vector<int32_t> shift) {
    require_pair(plan, in, out);
    require(first >= 0 && count >= 1 && count <= plan.buffer(in).rows - first && plan.stage_first() == 0 &&
                plan.stage_rows() == 1,
            "tokens to sum");
    require_shifts(shift, plan.buffer(in).columns, 0, 30, "a shift of a token sum leaves 0..30");
    plan.add_step(std::make_unique<TokenSumStep>(in, out, first, count, std::move(shift)), nodes,
                  {{in, true}, {out, false}});
}

void add_export(Plan& plan, const Nodes& nodes, int in, int column, int columns, int output) {
    const Buffer& x = plan.buffer(in);
    require(numeric(x) && column >= 0 && columns >= 1 && column + columns <= x.columns, "the columns to export");
    require(output >= 0 && output < int(plan.output_count()), "no such output");
    require(plan.output_bytes(output) == size_t(x.rows) * columns * kind_bits(x.kind) / 8,
            "the output has another size");
    plan.add_step(std::make_unique<ExportStep>(in, column, columns, output), nodes, {{in, false}});
}

}   // namespace p2vit
