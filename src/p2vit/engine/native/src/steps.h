// The steps of a plan. Each function below adds one step, checks its arguments, and throws std::invalid_argument.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan.h"

namespace p2vit {

using Nodes = std::vector<std::string>;

// A residual add in the epilogue of a linear layer. The other operand is a buffer, or constant rows (position
// embedding).
struct Residual {
    int buffer = -1;
    std::vector<int16_t> constant;                         // [stage rows][columns]
    std::vector<int32_t> left_own, left_residual, shift;   // [columns], all 0 for a plain add
    int out_bits = 16;
    // Set when the step is added: whether the other operand has 16 bits, and the row pitch of a constant one.
    bool wide = true;
    size_t constant_pitch = 0;
};

void require(bool condition, const char* message);

void add_patches(Plan& plan, const Nodes& nodes, int out, int patch);
void add_linear(Plan& plan, const Nodes& nodes, std::shared_ptr<PackedLinear> weights, int in, int out,
                int out_row_offset, std::vector<uint8_t> table, std::optional<Residual> residual);

struct LayerNormConfig {
    std::vector<uint8_t> input_shift;   // empty: none
    std::vector<uint16_t> table;
    std::vector<int32_t> shift;
    int input_bits, out_bits, epsilon, epsilon_shift, squares_shift;
};
void add_layernorm(Plan& plan, const Nodes& nodes, LayerNormConfig config, int in, int out);

struct AttentionConfig {
    int heads, head_dim, keys;
    std::vector<int32_t> softmax_shift;   // [heads]
    std::vector<int32_t> out_shift;       // [heads · head_dim], kQuotientFraction added
    bool log2;
    int guard, out_bits;
    int scores_output = -1, biased_output = -1, codes_output = -1;   // outputs of the inner tensors, or −1
    // Window attention: keys and values are rows of a buffer, not packed. The stage has one row per window and head.
    bool windowed = false;
    int windows = 1, key_column = 0, value_column = 0;
    std::vector<int32_t> bias{};     // [heads][keys][keys], empty: none
    std::vector<int8_t> regions{};   // [windows · keys]; empty: no mask
    std::vector<int32_t> masked{};   // [heads]
};
size_t packed_keys_bytes(int heads, int head_dim, int keys);
size_t packed_values_bytes(int heads, int head_dim, int keys);
void add_pack_keys(Plan& plan, const Nodes& nodes, int in, int column, int heads, int head_dim, int keys, int out);
void add_pack_values(Plan& plan, const Nodes& nodes, int in, int column, int heads, int head_dim, int keys, int out);
void add_attention(Plan& plan, const Nodes& nodes, AttentionConfig config, int queries, int column, int keys,
                   int values, int out);

// Steps for what the fused steps do not cover. They compute one number at a time, in 64 bits.
void add_requantize(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> shift);
void add_lookup(Plan& plan, const Nodes& nodes, int in, int out, std::vector<uint8_t> table);
void add_sum(Plan& plan, const Nodes& nodes, int a, int b, int out, std::vector<int32_t> left_a,
             std::vector<int32_t> left_b, std::vector<int32_t> shift);
void add_affine(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> gain, std::vector<int32_t> bias,
                std::vector<int32_t> shift);
// Channels 2·i and 2·i + 1 of row r turn by the angle of cosine and sine [r][i % pairs].
void add_rotary(Plan& plan, const Nodes& nodes, int in, int out, int pairs, std::vector<int16_t> cosine,
                std::vector<int16_t> sine, std::vector<int32_t> shift);
// y = requantize((a + offset) · b).
void add_multiply(Plan& plan, const Nodes& nodes, int a, int b, int out, std::vector<int32_t> offset,
                  std::vector<int32_t> shift);
void add_constant_rows(Plan& plan, const Nodes& nodes, int out, std::vector<int16_t> rows, int count);
void add_position(Plan& plan, const Nodes& nodes, int in, int out, int out_row_offset, std::vector<int16_t> position);
void add_select(Plan& plan, const Nodes& nodes, int in, int out, int index);
// Output row i is the input rows index[i·k] to index[i·k + k − 1] side by side; index −1 is the fill row.
void add_gather(Plan& plan, const Nodes& nodes, int in, int out, std::vector<int32_t> index, std::vector<int16_t> fill);
void add_token_sum(Plan& plan, const Nodes& nodes, int in, int out, int first, int count, std::vector<int32_t> shift);
// Copies columns of a buffer to an output array [rows][columns] of the buffer's kind.
void add_export(Plan& plan, const Nodes& nodes, int in, int column, int columns, int output);

}   // namespace p2vit
