// Reading and writing of single numbers as 64-bit integers, and argument checks that the steps share.
#pragma once

#include <functional>

#include "steps.h"

namespace p2vit {
namespace {

inline int64_t load(const std::byte* row, Kind kind, int c) {
    switch (kind) {
        case Kind::biased8: return int64_t(reinterpret_cast<const uint8_t*>(row)[c]) - 128;
        case Kind::int16: return reinterpret_cast<const int16_t*>(row)[c];
        default: return reinterpret_cast<const int32_t*>(row)[c];
    }
}

inline void store(std::byte* row, Kind kind, int c, int64_t value) {
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

inline bool numeric(const Buffer& b) { return b.kind != Kind::raw; }

inline void require_pair(const Plan& plan, int in, int out) {
    const Buffer &x = plan.buffer(in), &y = plan.buffer(out);
    require(numeric(x) && numeric(y) && x.columns == y.columns, "input and output have different numbers of columns");
}

inline void require_shifts(const std::vector<int32_t>& values, size_t count, int low, int high, const char* message) {
    require(values.size() == count, message);
    for (int32_t v : values) require(v >= low && v <= high, message);
}

inline void add_map(Plan& plan, const Nodes& nodes, int in, int out, MapStep::Function f) {
    plan.add_step(std::make_unique<MapStep>(in, out, std::move(f)), nodes, {{in, false}, {out, false}});
}

}   // namespace
}   // namespace p2vit
