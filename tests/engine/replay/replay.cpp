// Runs recorded plans (recorder.py) on the engine's own code and compares every output with the reference's integers.
// No Python: for machines that are only emulated here.
//
// p2vit_replay FILE...   each file on every instruction set that the machine has; exit status 1 if anything differs
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "dispatch.h"
#include "steps.h"

using namespace p2vit;

namespace {

struct Value {
    char kind = '0';
    int64_t number = 0;
    std::string text;
    std::vector<Value> list;
    char dtype = 0;
    std::vector<uint32_t> sides;
    std::vector<char> bytes;

    int integer() const {
        require(kind == 'i', "expected an integer");
        return int(number);
    }
    template <typename T>
    std::vector<T> array() const {
        require(kind == 'a' && bytes.size() % sizeof(T) == 0, "expected an array");
        std::vector<T> out(bytes.size() / sizeof(T));
        if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
        return out;
    }
    Nodes names() const {
        Nodes out;
        for (const Value& v : list) out.push_back(v.text);
        return out;
    }
};

class Reader {
  public:
    explicit Reader(const std::string& file) {
        std::ifstream stream(file, std::ios::binary);
        require(stream.good(), "cannot be read");
        data_.assign(std::istreambuf_iterator<char>(stream), {});
    }

    Value value() {
        Value v;
        v.kind = take<char>();
        switch (v.kind) {
            case '0': break;
            case 'i': v.number = take<int64_t>(); break;
            case 's': {
                const auto size = take<uint32_t>();
                for (uint32_t i = 0; i < size; ++i) v.text += take<char>();
                break;
            }
            case 'l': {
                const auto count = take<uint32_t>();
                for (uint32_t i = 0; i < count; ++i) v.list.push_back(value());
                break;
            }
            case 'a': {
                v.dtype = take<char>();
                const auto rank = take<uint8_t>();
                size_t bytes = v.dtype == 'i' ? 4 : v.dtype == 'h' || v.dtype == 'H' ? 2 : 1;
                for (int i = 0; i < rank; ++i) {
                    v.sides.push_back(take<uint32_t>());
                    bytes *= v.sides.back();
                }
                require(at_ + bytes <= data_.size(), "is cut off");
                v.bytes.assign(data_.begin() + at_, data_.begin() + at_ + bytes);
                at_ += bytes;
                break;
            }
            default: require(false, "holds an unknown kind of value");
        }
        return v;
    }

  private:
    template <typename T>
    T take() {
        T out;
        require(at_ + sizeof out <= data_.size(), "is cut off");
        std::memcpy(&out, data_.data() + at_, sizeof out);
        at_ += sizeof out;
        return out;
    }

    std::vector<char> data_;
    size_t at_ = 0;
};

std::shared_ptr<PackedLinear> pack(const std::vector<Value>& a) {
    const size_t count = a.size() - 3;   // name, parts, bits, nibbles
    std::vector<std::vector<int8_t>> weights(count), shifts(count);
    std::vector<std::vector<int32_t>> biases(count);
    std::vector<LinearPart> parts;
    for (size_t i = 0; i < count; ++i) {
        const auto& part = a[i + 1].list;
        weights[i] = part[0].array<int8_t>();
        biases[i] = part[1].array<int32_t>();
        shifts[i] = part[2].array<int8_t>();
        parts.push_back({weights[i].data(), biases[i].data(), shifts[i].data(), int(part[0].sides[0])});
    }
    const int inputs = int(a[1].list[0].sides[1]);
    return std::make_shared<PackedLinear>(parts, inputs, a[count + 1].integer(), a[count + 2].integer() != 0);
}

std::optional<Residual> residual_of(const Value& v) {
    if (v.kind == '0') return std::nullopt;
    Residual r;
    if (v.list[0].kind == 'i')
        r.buffer = v.list[0].integer();
    else
        r.constant = v.list[1].array<int16_t>();
    r.left_own = v.list[2].array<int32_t>();
    r.left_residual = v.list[3].array<int32_t>();
    r.shift = v.list[4].array<int32_t>();
    r.out_bits = v.list[5].integer();
    return r;
}

Kind kind_named(const std::string& name) {
    return name == "int8" ? Kind::biased8 : name == "int16" ? Kind::int16 : Kind::int32;
}

// One call of the recording, as the Python module binds it.
void call(Plan& p, const std::vector<Value>& a, std::vector<std::shared_ptr<PackedLinear>>& packs) {
    const std::string& name = a[0].text;
    auto n = [&](size_t i) { return a.at(i).integer(); };
    auto inner = [&](size_t i, size_t j) { return a.at(i).list.at(j).integer(); };
    auto i32 = [&](size_t i) { return a.at(i).array<int32_t>(); };
    const Nodes nodes = a.size() > 1 ? a[1].names() : Nodes{};
    if (name == "pack") {
        packs.push_back(pack(a));
    } else if (name == "buffer") {
        p.add_buffer(n(1), n(2), kind_named(a[3].text));
    } else if (name == "packed_keys") {
        p.add_raw(packed_keys_bytes(n(1), n(2), n(3)));
    } else if (name == "packed_values") {
        p.add_raw(packed_values_bytes(n(1), n(2), n(3)));
    } else if (name == "output") {
        p.add_output(n(1));
    } else if (name == "stage") {
        p.begin_stage(n(1), n(2));
    } else if (name == "finish") {
        p.finish();
    } else if (name == "patches") {
        add_patches(p, nodes, n(2), n(3));
    } else if (name == "linear") {
        std::vector<uint8_t> tables;
        if (a[6].kind == 'a') tables = a[6].array<uint8_t>();
        add_linear(p, nodes, packs.at(n(2)), n(3), n(4), n(5), tables, residual_of(a[7]));
    } else if (name == "layernorm") {
        add_layernorm(p, nodes, {a[4].array<uint8_t>(), a[5].array<uint16_t>(), i32(6), n(7), n(8), n(9), n(10), n(11)},
                      n(2), n(3));
    } else if (name == "pack_keys") {
        add_pack_keys(p, nodes, n(2), n(3), n(4), n(5), n(6), n(7));
    } else if (name == "pack_values") {
        add_pack_values(p, nodes, n(2), n(3), n(4), n(5), n(6), n(7));
    } else if (name == "attention") {
        AttentionConfig config{n(6), n(7), n(8), i32(9), i32(10), n(11) != 0, n(12), n(13)};
        config.scores_output = n(14);
        config.codes_output = n(15);
        add_attention(p, nodes, std::move(config), inner(2, 0), inner(2, 1), n(3), n(4), n(5));
    } else if (name == "window_attention") {
        AttentionConfig config{n(7), n(8), n(9), i32(10), i32(11), n(12) != 0, n(13), n(14)};
        config.windowed = true;
        config.windows = n(6);
        config.key_column = inner(3, 1);
        config.value_column = inner(4, 1);
        config.bias = i32(15);
        config.regions = a.at(16).array<int8_t>();
        config.masked = i32(17);
        config.scores_output = n(18);
        config.biased_output = n(19);
        config.codes_output = n(20);
        add_attention(p, nodes, std::move(config), inner(2, 0), inner(2, 1), inner(3, 0), inner(4, 0), n(5));
    } else if (name == "gather") {
        add_gather(p, nodes, n(2), n(3), i32(4), a.at(5).array<int16_t>());
    } else if (name == "requantize") {
        add_requantize(p, nodes, n(2), n(3), i32(4));
    } else if (name == "lookup") {
        add_lookup(p, nodes, n(2), n(3), a[4].array<uint8_t>());
    } else if (name == "add") {
        add_sum(p, nodes, n(2), n(3), n(4), i32(5), i32(6), i32(7));
    } else if (name == "affine") {
        add_affine(p, nodes, n(2), n(3), i32(4), i32(5), i32(6));
    } else if (name == "rotary") {
        add_rotary(p, nodes, n(2), n(3), n(4), a.at(5).array<int16_t>(), a.at(6).array<int16_t>(), i32(7));
    } else if (name == "multiply") {
        add_multiply(p, nodes, n(2), n(3), n(4), i32(5), i32(6));
    } else if (name == "constant_rows") {
        add_constant_rows(p, nodes, n(2), a[3].array<int16_t>(), n(4));
    } else if (name == "position") {
        add_position(p, nodes, n(2), n(3), n(4), a[5].array<int16_t>());
    } else if (name == "select") {
        add_select(p, nodes, n(2), n(3), n(4));
    } else if (name == "token_sum") {
        add_token_sum(p, nodes, n(2), n(3), n(4), n(5), i32(6));
    } else if (name == "export") {
        add_export(p, nodes, n(2), n(3), n(4), n(5));
    } else {
        throw std::invalid_argument("unknown call " + name);
    }
}

// Returns the bytes that differ; counts the tensors compared.
size_t replay(const std::vector<Value>& calls, const std::string& isa, int threads, size_t& tensors) {
    const auto& head = calls.front().list;
    const auto& end = calls.back().list;
    Plan plan(std::make_shared<Pool>(threads, 100), kernels_named(isa), head[1].integer(), head[2].integer(),
              head[3].integer(), threads == 1 ? 256 : 8);
    std::vector<std::shared_ptr<PackedLinear>> packs;
    for (size_t i = 1; i + 1 < calls.size(); ++i) call(plan, calls[i].list, packs);
    const auto pixels = end[1].array<uint8_t>();
    const int batch = int(end[1].sides[0]);
    std::vector<std::vector<char>> found;
    std::vector<OutputArray> outputs;
    for (size_t i = 3; i < end.size(); ++i) found.emplace_back(end[i].bytes.size(), char(0x55));
    for (auto& bytes : found) outputs.push_back({bytes.data(), bytes.size() / batch});
    plan.run(pixels.data(), batch, outputs);
    size_t wrong = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        size_t differ = 0;
        for (size_t b = 0; b < found[i].size(); ++b) differ += found[i][b] != end[i + 3].bytes[b];
        if (differ) std::printf("  %s: %zu of %zu bytes differ\n", end[2].list[i].text.c_str(), differ, found[i].size());
        wrong += differ;
        ++tensors;
    }
    return wrong;
}

}   // namespace

int main(int count, char** files) {
    size_t tensors = 0, wrong = 0, runs = 0;
    std::string sets;
    for (const IsaEntry& entry : instruction_sets())
        if (entry.kernels && entry.supported) sets += std::string(" ") + entry.name;
    std::printf("instruction sets:%s\n", sets.c_str());
    for (int i = 1; i < count; ++i) {
        try {
            const auto calls = Reader(files[i]).value().list;
            for (const IsaEntry& entry : instruction_sets()) {
                if (!entry.kernels || !entry.supported) continue;
                for (int threads : {1, 2}) {
                    const size_t differ = replay(calls, entry.name, threads, tensors);
                    if (differ) std::printf("%s, %s, %d threads: differs\n", files[i], entry.name.c_str(), threads);
                    wrong += differ;
                    ++runs;
                }
            }
        } catch (const std::exception& error) {
            std::printf("%s: %s\n", files[i], error.what());
            ++wrong;
        }
    }
    std::printf("%d plans, %zu runs, %zu tensors compared, %zu bytes differ\n", count - 1, runs, tensors, wrong);
    return wrong || !runs;
}
