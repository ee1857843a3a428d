// Gathering of tokens.
#include <cstring>

#include "step_values.h"

namespace p2vit {
namespace {

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

}   // namespace

void add_gather(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> index,
                std::vector<int16_t> fill) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(numeric(x) && x.kind == y.kind && int(fill.size()) == x.columns, "gathered tokens have the wrong kind");
    require(!index.empty() && index.size() % y.rows == 0 &&
                index.size() / y.rows * size_t(x.columns) == size_t(y.columns),
            "gathered tokens have the wrong shape");
    for (int32_t i : index) require(i >= -1 && i < x.rows, "no such token");
    const int bits = kind_bits(x.kind);
    for (int16_t v : fill) require(bits > 8 || (v >= -128 && v <= 127), "the fill token leaves int8");
    plan.add_step(std::make_unique<GatherStep>(in, out, std::move(index), fill, x.kind), nodes,
                  {{in, true}, {out, false}});
}

}   // namespace p2vit
