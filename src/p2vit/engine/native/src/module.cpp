// The Python binding of the engine, p2vit.engine.native._native. Arguments are checked here or in the steps.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

#include "dispatch.h"
#include "steps.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace p2vit;

namespace {

template <typename T, int N>
using Array = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

template <typename T>
std::vector<T> copy(const Array<T, 1>& array) {
    return {array.data(), array.data() + array.size()};
}

std::vector<uint8_t> table_of(const Array<uint8_t, 1>& array) {
    require(array.size() > 0 && array.size() % kTableEntries == 0, "a table has 256 entries");
    return copy(array);
}

Kind kind_named(const std::string& name) {
    if (name == "int8") return Kind::biased8;
    if (name == "int16") return Kind::int16;
    if (name == "int32") return Kind::int32;
    throw std::invalid_argument("unknown kind " + name);
}

using Part = std::tuple<Array<int8_t, 2>, Array<int32_t, 1>, Array<int8_t, 1>>;

std::shared_ptr<PackedLinear> pack(const std::vector<Part>& parts, int bits, bool nibbles) {
    require(!parts.empty() && (bits == 8 || bits == 16 || bits == 32), "a linear layer stores 8, 16 or 32 bits");
    const size_t inputs = std::get<0>(parts[0]).shape(1);
    require(inputs >= 1 && inputs <= 1 << 16, "a linear layer reads 1..65536 numbers");
    std::vector<LinearPart> list;
    size_t outputs = 0;
    for (const auto& [weight, bias, shift] : parts) {
        const size_t n = weight.shape(0);
        require(weight.shape(1) == inputs && n >= 1 && bias.size() == n && shift.size() == n,
                "weight, bias and shift do not fit together");
        if (nibbles) {
            const int8_t* w = weight.data();
            uint8_t above = 0;   // no early exit, so that the loop vectorises
            for (size_t i = 0, count = weight.size(); i < count; ++i) above |= uint8_t(w[i] + 8) & 0xF0;
            require(!above, "a 4-bit weight leaves -8..7");
        }
        list.push_back({weight.data(), bias.data(), shift.data(), int(n)});
        outputs += n;
    }
    require(outputs <= 1 << 20, "a linear layer writes at most 2^20 numbers");
    nb::gil_scoped_release release;
    return std::make_shared<PackedLinear>(list, int(inputs), bits, nibbles);
}

bool fits(const Array<int8_t, 2>& weight, const Array<int32_t, 1>& bias, const Array<int8_t, 1>& shift) {
    require(weight.shape(1) <= 1 << 16 && weight.shape(0) <= 1 << 20, "a linear layer reads 1..65536 numbers");
    require(bias.size() == weight.shape(0) && shift.size() == weight.shape(0),
            "weight, bias and shift do not fit together");
    return fits_int32({weight.data(), bias.data(), shift.data(), int(weight.shape(0))}, int(weight.shape(1)));
}

void run(Plan& plan, const Array<uint8_t, 4>& pixels, const std::vector<AnyArray>& outputs) {
    require(int(pixels.shape(1)) == plan.height() && int(pixels.shape(2)) == plan.width() &&
                int(pixels.shape(3)) == plan.channels(),
            "the pixels do not have the shape of the plan");
    const size_t batch = pixels.shape(0);
    require(batch <= 1 << 20 && outputs.size() == plan.output_count(), "wrong number of outputs");
    std::vector<OutputArray> arrays;
    for (size_t i = 0; i < outputs.size(); ++i) {
        require(outputs[i].nbytes() == batch * plan.output_bytes(int(i)), "an output has the wrong size");
        arrays.push_back({outputs[i].data(), plan.output_bytes(int(i))});
    }
    const uint8_t* data = pixels.data();
    nb::gil_scoped_release release;
    plan.run(data, int(batch), arrays);
}

std::optional<Residual> residual_of(const nb::object& given) {
    if (given.is_none()) return std::nullopt;
    const auto dict = nb::cast<nb::dict>(given);
    Residual r;
    r.out_bits = nb::cast<int>(dict["out_bits"]);
    r.left_own = copy(nb::cast<Array<int32_t, 1>>(dict["left_own"]));
    r.left_residual = copy(nb::cast<Array<int32_t, 1>>(dict["left_residual"]));
    r.shift = copy(nb::cast<Array<int32_t, 1>>(dict["shift"]));
    if (dict.contains("buffer"))
        r.buffer = nb::cast<int>(dict["buffer"]);
    else
        r.constant = copy(nb::cast<Array<int16_t, 1>>(dict["constant"]));
    return r;
}

// Measures the products per second of the dot-product instruction on registers, in 10^9, of all threads together.
double peak_gmacs(const std::string& isa, int threads, int milliseconds) {
    const Kernels* kernels = kernels_named(isa);
    require(threads >= 1 && threads <= 1024 && milliseconds >= 1 && milliseconds <= 60000, "threads or milliseconds");
    if (!kernels->probe) return 0;
    nb::gil_scoped_release release;
    std::vector<double> rates(threads);
    auto measure = [&](int thread) {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        int64_t products = 0;
        double seconds = 0;
        while (seconds < milliseconds * 1e-3) {
            products += kernels->probe();
            seconds = std::chrono::duration<double>(Clock::now() - start).count();
        }
        rates[thread] = double(products) / seconds / 1e9;
    };
    std::vector<std::thread> helpers;
    try {
        for (int i = 1; i < threads; ++i) helpers.emplace_back(measure, i);
    } catch (const std::system_error&) {
        // The system allows no more threads; the rate is that of the threads that started.
    }
    measure(0);
    for (auto& helper : helpers) helper.join();
    double sum = 0;
    for (double rate : rates) sum += rate;
    return sum;
}

void bind_plan(nb::module_& m) {
    nb::class_<Plan>(m, "Plan")
        .def(
            "__init__",
            [](Plan* self, std::shared_ptr<Pool> pool, const std::string& isa, int height, int width, int channels,
               int chunk_rows) {
                require(pool != nullptr, "no pool");
                new (self) Plan(std::move(pool), kernels_named(isa), height, width, channels, chunk_rows);
            },
            "pool"_a, "isa"_a, "height"_a, "width"_a, "channels"_a, "chunk_rows"_a)
        .def("buffer", [](Plan& p, int rows, int columns,
                          const std::string& kind) { return p.add_buffer(rows, columns, kind_named(kind)); })
        .def("packed_keys",
             [](Plan& p, int heads, int dim, int keys) { return p.add_raw(packed_keys_bytes(heads, dim, keys)); })
        .def("packed_values",
             [](Plan& p, int heads, int dim, int keys) { return p.add_raw(packed_values_bytes(heads, dim, keys)); })
        .def("output", &Plan::add_output)
        .def("stage", &Plan::begin_stage)
        .def("finish", &Plan::finish)
        .def("run", &run)
        .def("set_profiling", &Plan::set_profiling)
        .def("profile", &Plan::profile)
        .def_prop_ro("arena_bytes", &Plan::arena_bytes)
        .def("patches", &add_patches)
        .def(
            "linear",
            [](Plan& p, const Nodes& nodes, std::shared_ptr<PackedLinear> weights, int in, int out, int offset,
               const nb::object& table, const nb::object& residual) {
                std::vector<uint8_t> bytes;
                if (!table.is_none()) bytes = table_of(nb::cast<Array<uint8_t, 1>>(table));
                add_linear(p, nodes, std::move(weights), in, out, offset, std::move(bytes), residual_of(residual));
            },
            "nodes"_a, "weights"_a, "in"_a, "out"_a, nb::kw_only(), "out_row_offset"_a = 0, "table"_a = nb::none(),
            "residual"_a = nb::none())
        .def(
            "layernorm",
            [](Plan& p, const Nodes& nodes, int in, int out, const Array<uint8_t, 1>& input_shift,
               const Array<uint16_t, 1>& table, const Array<int32_t, 1>& shift, int input_bits, int out_bits,
               int epsilon, int epsilon_shift, int squares_shift) {
                add_layernorm(p, nodes,
                              {copy(input_shift), copy(table), copy(shift), input_bits, out_bits, epsilon,
                               epsilon_shift, squares_shift},
                              in, out);
            },
            "nodes"_a, "in"_a, "out"_a, nb::kw_only(), "input_shift"_a, "table"_a, "shift"_a, "input_bits"_a,
            "out_bits"_a, "epsilon"_a, "epsilon_shift"_a, "squares_shift"_a)
        .def("pack_keys", &add_pack_keys, "nodes"_a, "in"_a, nb::kw_only(), "column"_a, "heads"_a, "dim"_a, "keys"_a,
             "out"_a)
        .def("pack_values", &add_pack_values, "nodes"_a, "in"_a, nb::kw_only(), "column"_a, "heads"_a, "dim"_a,
             "keys"_a, "out"_a)
        // Queries are (buffer, first column); keys and values are packed. Outputs return the inner tensors.
        .def(
            "attention",
            [](Plan& p, const Nodes& nodes, std::pair<int, int> queries, int keys, int values, int out, int heads,
               int dim, int count, const Array<int32_t, 1>& softmax_shift, const Array<int32_t, 1>& out_shift,
               bool log2, int guard, int out_bits, int scores_output, int codes_output) {
                AttentionConfig config{heads, dim, count, copy(softmax_shift), copy(out_shift), log2, guard, out_bits};
                config.scores_output = scores_output;
                config.codes_output = codes_output;
                add_attention(p, nodes, std::move(config), queries.first, queries.second, keys, values, out);
            },
            "nodes"_a, nb::kw_only(), "queries"_a, "keys"_a, "values"_a, "out"_a, "heads"_a, "dim"_a, "count"_a,
            "softmax_shift"_a, "out_shift"_a, "log2"_a, "guard"_a, "out_bits"_a, "scores_output"_a = -1,
            "codes_output"_a = -1)
        // Queries, keys and values are (buffer, first column) each.
        .def(
            "window_attention",
            [](Plan& p, const Nodes& nodes, std::pair<int, int> queries, std::pair<int, int> keys,
               std::pair<int, int> values, int out, int windows, int heads, int dim, int count,
               const Array<int32_t, 1>& softmax_shift, const Array<int32_t, 1>& out_shift, bool log2, int guard,
               int out_bits, const Array<int32_t, 1>& bias, const Array<int8_t, 1>& regions,
               const Array<int32_t, 1>& masked, int scores_output, int biased_output, int codes_output) {
                AttentionConfig config{heads, dim, count, copy(softmax_shift), copy(out_shift), log2, guard, out_bits};
                config.scores_output = scores_output;
                config.biased_output = biased_output;
                config.codes_output = codes_output;
                config.windowed = true;
                config.windows = windows;
                config.key_column = keys.second;
                config.value_column = values.second;
                config.bias = copy(bias);
                config.regions = copy(regions);
                config.masked = copy(masked);
                add_attention(p, nodes, std::move(config), queries.first, queries.second, keys.first, values.first,
                              out);
            },
            "nodes"_a, nb::kw_only(), "queries"_a, "keys"_a, "values"_a, "out"_a, "windows"_a, "heads"_a, "dim"_a,
            "count"_a, "softmax_shift"_a, "out_shift"_a, "log2"_a, "guard"_a, "out_bits"_a, "bias"_a, "regions"_a,
            "masked"_a, "scores_output"_a = -1, "biased_output"_a = -1, "codes_output"_a = -1)
        .def("gather", [](Plan& p, const Nodes& nodes, int in, int out, const Array<int32_t, 1>& index,
                          const Array<int16_t, 1>& fill) { add_gather(p, nodes, in, out, copy(index), copy(fill)); })
        .def("requantize", [](Plan& p, const Nodes& nodes, int in, int out,
                              const Array<int32_t, 1>& shift) { add_requantize(p, nodes, in, out, copy(shift)); })
        .def("lookup", [](Plan& p, const Nodes& nodes, int in, int out,
                          const Array<uint8_t, 1>& table) { add_lookup(p, nodes, in, out, table_of(table)); })
        .def(
            "add",
            [](Plan& p, const Nodes& nodes, int a, int b, int out, const Array<int32_t, 1>& left_a,
               const Array<int32_t, 1>& left_b, const Array<int32_t, 1>& shift) {
                add_sum(p, nodes, a, b, out, copy(left_a), copy(left_b), copy(shift));
            },
            "nodes"_a, "a"_a, "b"_a, "out"_a, nb::kw_only(), "left_a"_a, "left_b"_a, "shift"_a)
        .def(
            "affine",
            [](Plan& p, const Nodes& nodes, int in, int out, const Array<int32_t, 1>& gain,
               const Array<int32_t, 1>& bias,
               const Array<int32_t, 1>& shift) { add_affine(p, nodes, in, out, copy(gain), copy(bias), copy(shift)); },
            "nodes"_a, "in"_a, "out"_a, nb::kw_only(), "gain"_a, "bias"_a, "shift"_a)
        .def(
            "rotary",
            [](Plan& p, const Nodes& nodes, int in, int out, int pairs, const Array<int16_t, 1>& cosine,
               const Array<int16_t, 1>& sine, const Array<int32_t, 1>& shift) {
                add_rotary(p, nodes, in, out, pairs, copy(cosine), copy(sine), copy(shift));
            },
            "nodes"_a, "in"_a, "out"_a, nb::kw_only(), "pairs"_a, "cosine"_a, "sine"_a, "shift"_a)
        .def(
            "multiply",
            [](Plan& p, const Nodes& nodes, int a, int b, int out, const Array<int32_t, 1>& offset,
               const Array<int32_t, 1>& shift) { add_multiply(p, nodes, a, b, out, copy(offset), copy(shift)); },
            "nodes"_a, "a"_a, "b"_a, "out"_a, nb::kw_only(), "offset"_a, "shift"_a)
        .def("constant_rows", [](Plan& p, const Nodes& nodes, int out, const Array<int16_t, 1>& rows,
                                 int count) { add_constant_rows(p, nodes, out, copy(rows), count); })
        .def("position", [](Plan& p, const Nodes& nodes, int in, int out, int offset,
                            const Array<int16_t, 1>& rows) { add_position(p, nodes, in, out, offset, copy(rows)); })
        .def("select", &add_select)
        .def(
            "token_sum",
            [](Plan& p, const Nodes& nodes, int in, int out, int first, int count, const Array<int32_t, 1>& shift) {
                add_token_sum(p, nodes, in, out, first, count, copy(shift));
            },
            "nodes"_a, "in"_a, "out"_a, nb::kw_only(), "first"_a, "count"_a, "shift"_a)
        .def("export", &add_export, "nodes"_a, "in"_a, nb::kw_only(), "column"_a, "columns"_a, "output"_a);
}

}   // namespace

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels of p2vit.engine.native; use that module, not this one.";
    m.def(
        "instruction_sets",
        [] {
            std::vector<std::tuple<std::string, bool, bool>> list;
            for (const IsaEntry& entry : instruction_sets())
                list.emplace_back(entry.name, entry.kernels != nullptr, entry.supported);
            return list;
        },
        "Name, whether the build has it, and whether this CPU supports it; best first.");
    nb::class_<Pool>(m, "Pool")
        .def(
            "__init__",
            [](Pool* self, int threads, int spins) {
                require(threads >= 1 && threads <= 1024, "threads must be 1..1024");
                require(spins >= 0, "spins must be 0 or more");
                new (self) Pool(threads, spins);
            },
            "threads"_a, "spins"_a)
        .def_prop_ro("threads", &Pool::threads);
    nb::class_<PackedLinear>(m, "PackedLinear")
        .def_prop_ro("exact", &PackedLinear::exact)
        .def_prop_ro("bytes", &PackedLinear::bytes);
    m.def("pack", &pack, "parts"_a, "bits"_a, "nibbles"_a);
    m.def("fits_int32", &fits, "weight"_a, "bias"_a, "shift"_a);
    m.def("peak_gmacs", &peak_gmacs, "isa"_a, "threads"_a, "milliseconds"_a);
    bind_plan(m);
}
