// A table lookup that is not fused.
#include "step_values.h"

namespace p2vit {

void add_lookup(Plan& plan, const Nodes& nodes, int in, int out, std::vector<uint8_t> table) {
    require_pair(plan, in, out);
    require(plan.buffer(in).kind == Kind::biased8 && plan.buffer(out).kind == Kind::biased8,
            "a table maps int8 to int8");
    const int columns = plan.buffer(in).columns, tables = int(table.size()) / kTableEntries;
    require(columns % tables == 0, "wrong number of tables for the columns");
    add_map(plan, nodes, in, out, [table = std::move(table), each = columns / tables](int64_t x, int c) {
        return int64_t(table[c / each * kTableEntries + x + 128]) - 128;
    });
}

}   // namespace p2vit
