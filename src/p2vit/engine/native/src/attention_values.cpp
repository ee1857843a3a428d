// Packing of values for attention × values.
#include "packed_heads.h"

namespace p2vit {
namespace {

class PackValuesStep final : public Step {
  public:
    PackValuesStep(Shape shape, int in, int column, int out) : shape_(shape), in_(in), column_(column), out_(out) {}

    void run(const Work& work, int first, int count) const override {
        std::byte* base = work.row(out_, 0);
        const size_t panel = size_t(shape_.key_quads()) * 64;
        for (int m = first; m < first + count; m += kQuad) {
            const uint8_t* rows[kQuad];
            for (int i = 0; i < kQuad; ++i)   // codes after the last key are 0, so any row serves
                rows[i] = reinterpret_cast<const uint8_t*>(work.row(in_, std::min(m + i, first + count - 1))) + column_;
            for (int h = 0; h < shape_.heads; ++h) {
                std::byte* out = base + h * shape_.head_values() + size_t(m / kQuad) * 64;
                for (int d = 0; d < shape_.dim; d += kPanel, out += panel)
                    interleave(rows, h * shape_.dim + d, std::min(kPanel, shape_.dim - d),
                               reinterpret_cast<uint8_t*>(out));
            }
        }
    }

  private:
    Shape shape_;
    int in_, column_, out_;
};

}   // namespace

size_t packed_values_bytes(int heads, int dim, int keys) {
    return heads * checked(heads, dim, keys).head_values() + kPackedSlack;
}

void add_pack_values(Plan& plan, const Nodes& nodes, int in, int column, int heads, int dim, int keys, int out) {
    const Shape shape = checked(heads, dim, keys);
    require_rows(plan.buffer(in), column, shape, "values are int8 rows of all heads");
    require(plan.stage_rows() == keys && plan.buffer(in).rows == keys, "the stage that packs values must have all of them");
    require(plan.buffer(out).kind == Kind::raw && plan.buffer(out).pitch >= packed_values_bytes(heads, dim, keys),
            "the buffer for packed values is too small");
    plan.add_step(std::make_unique<PackValuesStep>(shape, in, column, out), nodes, {{in, false}, {out, true}});
}

}   // namespace p2vit
