// Argument checks, and the step that copies a tensor to an output array.
#include "steps.h"

#include <cstring>
#include <stdexcept>

#include "step_values.h"

namespace p2vit {
namespace {

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

}   // namespace

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void add_export(Plan& plan, const Nodes& nodes, int in, int column, int columns, int output) {
    const Buffer& x = plan.buffer(in);
    require(numeric(x) && column >= 0 && columns >= 1 && column + columns <= x.columns, "the columns to export");
    require(output >= 0 && output < int(plan.output_count()), "no such output");
    require(plan.output_bytes(output) == size_t(x.rows) * columns * kind_bits(x.kind) / 8,
            "the output has the wrong size");
    plan.add_step(std::make_unique<ExportStep>(in, column, columns, output), nodes, {{in, false}});
}

}   // namespace p2vit
