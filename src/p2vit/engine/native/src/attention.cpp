// Fused attention: each tile of query rows goes through scores, softmax and values.
#include <chrono>

#include "aligned.h"
#include "packed_heads.h"
#include "score_bias.h"

namespace p2vit {
namespace {

int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

class AttentionStep final : public Step {
  public:
    AttentionStep(const Kernels* kernels, AttentionConfig config, int queries, int column, int keys, int values,
                  int out)
        : kernels_(kernels),
          config_(std::move(config)),
          shape_{config_.heads, config_.head_dim, config_.keys},
          queries_(queries),
          column_(column),
          keys_(keys),
          values_(values),
          out_(out),
          tile_(kernels->query_rows),
          score_pitch_(round_up(config_.keys, 64)),
          code_pitch_(round_up(config_.keys, 64) + 64),
          channel_pitch_(round_up(config_.head_dim, kPanel)),
          zeros_(channel_pitch_, 0) {
        config_.out_shift.resize(config_.out_shift.size() + kPanel, kQuotientFraction);   // padding, because whole registers are read
    }

    void run(const Work& work, int first, int count) const override {
        if (config_.windowed) {
            for (int item = first; item < first + count; ++item)
                window(work, item / shape_.heads, item % shape_.heads);
            return;
        }
        const std::byte* keys = work.row(keys_, 0);
        const std::byte* values = work.row(values_, 0);
        for (int h = 0; h < shape_.heads; ++h)
            for (int row = first; row < first + count; row += tile_)
                tile(work, h, row, std::min(tile_, first + count - row), keys + h * shape_.head_keys(),
                     values + h * shape_.head_values());
    }

    size_t scratch() const override {
        return packed_offset() + (config_.windowed ? shape_.head_keys() + shape_.head_values() + kPackedSlack : 0);
    }

  private:
    size_t packed_offset() const {
        return round_up(tile_ * (score_pitch_ * 4 + 3 * code_pitch_ + 2 * channel_pitch_ * 4) + 1024, kRowAlign);
    }

    // Computes one window of one head. Here keys_ and values_ are buffers of rows, which are packed first.
    void window(const Work& work, int w, int h) const {
        std::byte* keys = work.scratch + packed_offset();
        std::byte* values = keys + shape_.head_keys();
        const size_t panel = size_t(shape_.key_quads()) * 64;
        for (int m = 0; m < shape_.keys; m += kQuad) {
            const uint8_t *key[kQuad], *value[kQuad];
            for (int i = 0; i < kQuad; ++i) {   // codes after the last key are 0, so any row serves
                const int row = w * shape_.keys + std::min(m + i, shape_.keys - 1);
                key[i] = reinterpret_cast<const uint8_t*>(work.row(keys_, row)) + config_.key_column + h * shape_.dim;
                value[i] =
                    reinterpret_cast<const uint8_t*>(work.row(values_, row)) + config_.value_column + h * shape_.dim;
            }
            pack_key_quad(shape_, keys, m, std::min(kQuad, shape_.keys - m), key);
            std::byte* out = values + size_t(m / kQuad) * 64;
            for (int d = 0; d < shape_.dim; d += kPanel, out += panel)
                interleave(value, d, std::min(kPanel, shape_.dim - d), reinterpret_cast<uint8_t*>(out));
        }
        const int rows = (*work.buffers)[queries_].rows / config_.windows;
        for (int row = 0; row < rows; row += tile_)
            tile(work, h, w * rows + row, std::min(tile_, rows - row), keys, values);
    }

    void tile(const Work& work, int h, int row, int rows, const std::byte* keys, const std::byte* values) const {
        auto* scores = reinterpret_cast<int32_t*>(work.scratch);
        auto* codes = reinterpret_cast<uint8_t*>(scores + tile_ * score_pitch_);
        uint8_t *high = codes + tile_ * code_pitch_, *low = high + tile_ * code_pitch_;
        auto* sums = reinterpret_cast<int32_t*>(low + tile_ * code_pitch_);
        int32_t* low_sums = sums + tile_ * channel_pitch_;
        uint32_t totals[kLargestQueryRows];

        Gemm g;
        g.a = reinterpret_cast<const uint8_t*>(work.row(queries_, row)) + column_ + h * shape_.dim;
        g.a_pitch = work.pitch(queries_);
        g.rows = rows;
        g.b = reinterpret_cast<const int8_t*>(keys);
        g.quads = shape_.dim_quads();
        g.panels = shape_.key_panels();
        g.bias = reinterpret_cast<const int32_t*>(keys + shape_.key_bytes());
        g.end.out = scores;
        g.end.out_pitch = ptrdiff_t(score_pitch_ * sizeof(int32_t));
        kernels_->gemm(g);

        const int64_t before = work.parts_ns ? now() : 0;
        SoftmaxRow s;
        s.count = shape_.keys;
        s.shift = config_.softmax_shift[h];
        s.log2 = config_.log2;
        s.guard = config_.guard;
        for (int i = 0; i < rows; ++i) {
            s.scores = scores + i * score_pitch_;
            show(work, config_.scores_output, h, row + i, s.scores, sizeof(int32_t));
            if (!config_.bias.empty()) add_score_bias(config_, h, row + i, scores + i * score_pitch_);
            show(work, config_.biased_output, h, row + i, s.scores, sizeof(int32_t));
            s.codes = codes + i * code_pitch_;
            if (config_.log2) {
                s.high = high + i * code_pitch_;
                s.low = low + i * code_pitch_;
            }
            totals[i] = kernels_->softmax(s);
            show(work, config_.codes_output, h, row + i, s.codes, 1);
        }
        const int64_t between = work.parts_ns ? now() : 0;

        g.a = config_.log2 ? high : codes;
        g.a_pitch = ptrdiff_t(code_pitch_);
        g.b = reinterpret_cast<const int8_t*>(values);
        g.quads = shape_.key_quads();
        g.panels = shape_.dim_panels();
        g.bias = zeros_.data();
        g.end.out = sums;
        g.end.out_pitch = ptrdiff_t(channel_pitch_ * sizeof(int32_t));
        kernels_->gemm(g);
        if (config_.log2) {
            g.a = low;
            g.end.out = low_sums;
            kernels_->gemm(g);
        }
        QuotientRow q;
        q.channels = shape_.dim;
        q.shift = config_.out_shift.data() + h * shape_.dim;
        q.out_bits = config_.out_bits;
        for (int i = 0; i < rows; ++i) {
            q.accumulator = sums + i * channel_pitch_;
            q.low = config_.log2 ? low_sums + i * channel_pitch_ : nullptr;
            q.total = totals[i];
            q.out = work.row(out_, row + i) + h * shape_.dim * config_.out_bits / 8;
            kernels_->quotient(q);
        }
        if (work.parts_ns) {
            work.parts_ns[1] += between - before;
            work.parts_ns[2] += now() - between;
        }
    }

    // Inner tensors are written only if they are to be returned.
    void show(const Work& work, int output, int h, int row, const void* data, size_t width) const {
        if (output < 0) return;
        const size_t rows = (*work.buffers)[queries_].rows;
        std::memcpy(work.output(output) + (h * rows + row) * shape_.keys * width, data, shape_.keys * width);
    }

    const Kernels* kernels_;
    AttentionConfig config_;
    Shape shape_;
    int queries_, column_, keys_, values_, out_;
    int tile_;   // query rows of a tile
    size_t score_pitch_, code_pitch_, channel_pitch_;
    AlignedVector<int32_t> zeros_;
};

}   // namespace

void add_attention(Plan& plan, const Nodes& nodes, AttentionConfig c, int queries, int column, int keys, int values,
                   int out) {
    const Shape shape = checked(c.heads, c.head_dim, c.keys);
    const Buffer &q = plan.buffer(queries), &y = plan.buffer(out);
    const size_t channels = size_t(c.heads) * c.head_dim;
    require_rows(q, column, shape, "queries are int8 rows of all heads");
    if (c.windowed) {
        require(c.windows >= 1 && c.windows <= 1 << 20, "1..2^20 windows");
        const int64_t rows = int64_t{c.windows} * c.keys;
        require(plan.buffer(keys).rows == rows && plan.buffer(values).rows == rows, "windows of keys and values");
        require(q.rows % c.windows == 0 && y.rows == q.rows, "windows of queries");
        require_rows(plan.buffer(keys), c.key_column, shape, "keys are int8 rows of all heads");
        require_rows(plan.buffer(values), c.value_column, shape, "values are int8 rows of all heads");
        require(plan.stage_first() == 0 && plan.stage_rows() == int64_t{c.windows} * c.heads, "the stage must have one row per window and head");
    } else {
        require(c.bias.empty(), "only window attention has a bias");
        require(plan.buffer(keys).kind == Kind::raw &&
                    plan.buffer(keys).pitch >= packed_keys_bytes(c.heads, c.head_dim, c.keys),
                "packed keys");
        require(plan.buffer(values).kind == Kind::raw &&
                    plan.buffer(values).pitch >= packed_values_bytes(c.heads, c.head_dim, c.keys),
                "packed values");
    }
    if (!c.bias.empty())
        require(q.rows == int64_t{c.windows} * c.keys && c.bias.size() == size_t(c.heads) * c.keys * c.keys,
                "a bias has a number per head, query and key");
    if (!c.regions.empty())
        require(!c.bias.empty() && int(c.regions.size()) == q.rows && int(c.masked.size()) == c.heads,
                "regions have a number per token, masked scores one per head");
    require(y.columns == int(channels) && y.kind != Kind::raw && kind_bits(y.kind) == c.out_bits && c.out_bits <= 16,
            "the output of attention has the wrong shape");
    require(int(c.softmax_shift.size()) == c.heads && c.out_shift.size() == channels,
            "attention has a shift per head and per channel");
    for (int32_t s : c.softmax_shift) require(std::abs(s) <= kSoftmaxLargestShift, "a shift of softmax leaves -24..24");
    for (int32_t s : c.out_shift) require(s >= kQuotientFraction + kQuotientLeastShift && s <= kQuotientFraction + kQuotientLargestShift, "a shift of attention leaves -16..8");
    require(c.guard >= kLeastGuard && c.guard <= kLargestGuard, "guard leaves 8..15");
    const size_t shown = size_t(c.heads) * q.rows * c.keys;
    for (int output : {c.scores_output, c.biased_output, c.codes_output})
        require(output < int(plan.output_count()), "no such output");
    for (int output : {c.scores_output, c.biased_output})
        require(output < 0 || plan.output_bytes(output) == shown * 4, "the output of the scores has the wrong size");
    require(c.codes_output < 0 || plan.output_bytes(c.codes_output) == shown, "the output of the codes has the wrong size");
    const bool whole = c.windowed;
    plan.add_step(std::make_unique<AttentionStep>(plan.kernels(), std::move(c), queries, column, keys, values, out),
                  nodes, {{queries, whole}, {keys, true}, {values, true}, {out, whole}});
}

}   // namespace p2vit
