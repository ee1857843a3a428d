// Packing of keys for the scores.
#include "packed_heads.h"

namespace p2vit {
namespace {

class PackKeysStep final : public Step {
  public:
    PackKeysStep(Shape shape, int in, int column, int out) : shape_(shape), in_(in), column_(column), out_(out) {}

    void run(const Work& work, int first, int count) const override {
        for (int m = first; m < first + count; m += kQuad) {
            const int rows = std::min(kQuad, first + count - m);
            for (int h = 0; h < shape_.heads; ++h) pack(work, m, rows, h);
        }
    }

  private:
    void pack(const Work& work, int m, int rows, int h) const {
        std::byte* head = work.row(out_, 0) + h * shape_.head_keys();
        const uint8_t* source[kQuad];
        for (int i = 0; i < rows; ++i)
            source[i] = reinterpret_cast<const uint8_t*>(work.row(in_, m + i)) + column_ + h * shape_.dim;
        pack_key_quad(shape_, head, m, rows, source);
    }

    Shape shape_;
    int in_, column_, out_;
};

}   // namespace

size_t packed_keys_bytes(int heads, int dim, int keys) { return heads * checked(heads, dim, keys).head_keys() + kPackedSlack; }

void add_pack_keys(Plan& plan, const Nodes& nodes, int in, int column, int heads, int dim, int keys, int out) {
    const Shape shape = checked(heads, dim, keys);
    require_rows(plan.buffer(in), column, shape, "keys are int8 rows of all heads");
    require(plan.stage_rows() == keys && plan.buffer(in).rows == keys, "the stage that packs keys must have all of them");
    require(plan.buffer(out).kind == Kind::raw && plan.buffer(out).pitch >= packed_keys_bytes(heads, dim, keys),
            "the buffer for packed keys is too small");
    plan.add_step(std::make_unique<PackKeysStep>(shape, in, column, out), nodes, {{in, false}, {out, true}});
}

}   // namespace p2vit
