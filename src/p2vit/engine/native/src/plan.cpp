#include "plan.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace p2vit {
namespace {

int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// The pitch is an odd multiple of a cache line, so that the rows of a register tile map to different cache sets. It
// leaves room for a whole register at the last column.
size_t row_pitch(int columns, Kind kind) {
    const size_t bytes = round_up(round_up(size_t(columns), kPanel) * kind_bits(kind) / 8, kRowAlign);
    return bytes / kRowAlign % 2 ? bytes : bytes + kRowAlign;
}

constexpr int kParts = 3;   // time counters of a step: one for the whole step, or three for the parts of attention

}   // namespace

Plan::Plan(std::shared_ptr<Pool> pool, const Kernels* kernels, int height, int width, int channels, int chunk_rows)
    : pool_(std::move(pool)),
      kernels_(kernels),
      height_(height),
      width_(width),
      channels_(channels),
      chunk_rows_(chunk_rows) {
    if (height < 1 || width < 1 || channels < 1 || height > 1 << 14 || width > 1 << 14 || channels > 1 << 14)
        throw std::invalid_argument("every side of the pixels must be 1..16384");
    if (chunk_rows < 4 || chunk_rows % 4) throw std::invalid_argument("chunk_rows must be a positive multiple of 4");
}

int Plan::add_buffer(int rows, int columns, Kind kind) {
    if (finished_) throw std::invalid_argument("the plan is finished");
    if (rows < 1 || columns < 1 || rows > 1 << 20 || columns > 1 << 20)
        throw std::invalid_argument("a buffer has 1..2^20 rows and columns");
    Buffer b;
    b.rows = rows;
    b.columns = columns;
    b.kind = kind;
    b.pitch = row_pitch(columns, kind);
    buffers_.push_back(b);
    return int(buffers_.size()) - 1;
}

int Plan::add_raw(size_t bytes) {
    if (finished_) throw std::invalid_argument("the plan is finished");
    Buffer b;
    b.kind = Kind::raw;
    b.local = false;
    b.pitch = round_up(bytes, kRowAlign);
    buffers_.push_back(b);
    return int(buffers_.size()) - 1;
}

int Plan::add_output(size_t image_bytes) {
    if (finished_) throw std::invalid_argument("the plan is finished");
    output_bytes_.push_back(image_bytes);
    return int(output_bytes_.size()) - 1;
}

const Buffer& Plan::buffer(int index) const {
    if (index < 0 || index >= int(buffers_.size())) throw std::invalid_argument("no such buffer");
    return buffers_[index];
}

int Plan::stage_first() const { return stages_.empty() ? 0 : stages_.back().first; }

int Plan::stage_rows() const {
    if (stages_.empty()) throw std::invalid_argument("a step belongs to a stage");
    return stages_.back().rows;
}

void Plan::begin_stage(int first, int rows) {
    if (finished_) throw std::invalid_argument("the plan is finished");
    if (first < 0 || rows < 1 || first > 1 << 20 || rows > 1 << 20)
        throw std::invalid_argument("a stage has at least one row");
    Stage stage;
    stage.first = first;
    stage.rows = rows;
    stages_.push_back(std::move(stage));
}

void Plan::add_step(std::unique_ptr<Step> step, std::vector<std::string> nodes, std::vector<Access> accesses) {
    if (finished_ || stages_.empty()) throw std::invalid_argument("a step belongs to a stage of an unfinished plan");
    const Stage& stage = stages_.back();
    for (const Access& access : accesses)
        if (const Buffer& b = buffer(access.buffer);
            !access.whole && b.kind != Kind::raw && stage.first + stage.rows > b.rows)
            throw std::invalid_argument("the stage has more rows than a buffer");
    step->nodes = std::move(nodes);
    step->accesses = std::move(accesses);
    stages_.back().steps.push_back(std::move(step));
}

// First fit: a buffer may reuse the memory of buffers whose last use is before its first. Returns the bytes needed.
size_t Plan::assign_offsets(std::vector<Buffer>& buffers, bool local, int chunk_rows) {
    std::vector<Buffer*> placed;
    size_t total = 0;
    for (Buffer& b : buffers) {
        if (b.local != local || b.first < 0) continue;
        const size_t bytes = b.bytes(chunk_rows);
        std::vector<std::pair<size_t, size_t>> taken;
        for (const Buffer* other : placed)
            if (other->first <= b.last && b.first <= other->last)
                taken.emplace_back(other->offset, other->offset + other->bytes(chunk_rows));
        std::sort(taken.begin(), taken.end());
        b.offset = 0;
        for (const auto& [begin, end] : taken) {
            if (b.offset + bytes <= begin) break;
            b.offset = std::max(b.offset, end);
        }
        total = std::max(total, b.offset + bytes);
        placed.push_back(&b);
    }
    return total;
}

void Plan::finish() {
    if (finished_) throw std::invalid_argument("the plan is finished");
    std::vector<int> stage_of(buffers_.size(), -1);
    for (int s = 0; s < int(stages_.size()); ++s)
        for (const auto& step : stages_[s].steps)
            for (const Access& access : step->accesses) {
                Buffer& b = buffers_[access.buffer];
                if (access.whole || (stage_of[access.buffer] >= 0 && stage_of[access.buffer] != s)) b.local = false;
                stage_of[access.buffer] = s;
            }
    int number = 0;
    size_t scratch = 0;
    for (int s = 0; s < int(stages_.size()); ++s)
        for (const auto& step : stages_[s].steps) {
            for (const Access& access : step->accesses) {
                Buffer& b = buffers_[access.buffer];
                const int time = b.local ? number : s;
                if (b.first < 0) b.first = time;
                b.last = time;
            }
            scratch = std::max(scratch, step->scratch());
            ++number;
        }
    // Padding after each area, because kernels read and write whole registers.
    const size_t shared = round_up(assign_offsets(buffers_, false, chunk_rows_) + 256, 4096);
    const size_t local = round_up(assign_offsets(buffers_, true, chunk_rows_) + 256, 4096);
    scratch = round_up(scratch + 256, 4096);
    const int threads = pool_->threads();
    arena_.resize(threads * (shared + local + scratch) + shared + kRowAlign);
    std::byte* at = arena_.data() + (kRowAlign - reinterpret_cast<uintptr_t>(arena_.data()) % kRowAlign) % kRowAlign;
    lanes_.resize(threads);
    for (Lane& lane : lanes_) {
        lane.shared = at;
        lane.local = at + shared;
        lane.scratch = at + shared + local;
        lane.ns.assign(number * kParts, 0);
        at += shared + local + scratch;
    }
    team_shared_ = at;
    progress_ = std::vector<Progress>(stages_.size() * threads);
    finished_ = true;
}

int Plan::chunks_of(const Stage& stage, int members) const {
    const int groups = ceil_div(stage.rows, 4);   // chunks begin at multiples of four rows, because values are packed by four
    if (members == 1) return std::min(groups, ceil_div(groups * 4, chunk_rows_));
    // Twice as many chunks as threads, so that the others wait less for a thread that is delayed.
    return std::min(groups, std::max(2 * members, ceil_div(groups * 4, chunk_rows_)));
}

void Plan::run_chunk(const Stage& stage, size_t step_base, Work work, Lane& lane, int chunk, int chunks) const {
    const int groups = ceil_div(stage.rows, 4);
    const int first = stage.first + int(int64_t(chunk) * groups / chunks) * 4;
    const int last = stage.first + std::min(int(int64_t(chunk + 1) * groups / chunks) * 4, stage.rows);
    work.chunk_first = first;
    for (size_t i = 0; i < stage.steps.size(); ++i) {
        if (!profiling_) {
            stage.steps[i]->run(work, first, last - first);
            continue;
        }
        work.parts_ns = &lane.ns[(step_base + i) * kParts];
        const int64_t before = work.parts_ns[1] + work.parts_ns[2], start = now();
        stage.steps[i]->run(work, first, last - first);
        work.parts_ns[0] += now() - start - (work.parts_ns[1] + work.parts_ns[2] - before);
    }
}

// Runs every stage of an image: in one thread, or with `progress` together with the other threads.
void Plan::run_image(Work work, Lane& lane, Progress* progress) const {
    size_t step_base = 0;
    for (const Stage& stage : stages_) {
        const int chunks = chunks_of(stage, progress ? pool_->threads() : 1);
        if (!progress) {
            for (int chunk = 0; chunk < chunks; ++chunk) run_chunk(stage, step_base, work, lane, chunk, chunks);
        } else {
            for (int chunk; (chunk = progress->next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
                run_chunk(stage, step_base, work, lane, chunk, chunks);
                if (progress->done.fetch_add(1, std::memory_order_acq_rel) == chunks - 1) progress->done.notify_all();
            }
            for (int done; (done = progress->done.load(std::memory_order_acquire)) < chunks;)
                wait_while(progress->done, done, pool_->spins());
            ++progress;
        }
        step_base += stage.steps.size();
    }
}

void Plan::run(const uint8_t* pixels, int batch, const std::vector<OutputArray>& outputs) {
    if (!finished_) throw std::invalid_argument("the plan is not finished");
    const std::lock_guard lock(busy_);
    const int threads = pool_->threads();
    const int alone = batch / threads * threads;   // images that are each computed by one thread
    const size_t image_bytes = size_t(height_) * width_ * channels_;
    next_image_.store(0, std::memory_order_relaxed);
    for (Progress& p : progress_) {
        p.next.store(0, std::memory_order_relaxed);
        p.done.store(0, std::memory_order_relaxed);
    }
    const std::function<void(int)> job = [&](int thread) {
        Lane& lane = lanes_[thread];
        Work work{&buffers_, lane.shared, lane.local, lane.scratch, pixels, &outputs, 0, 0, nullptr};
        for (int image; (image = next_image_.fetch_add(1, std::memory_order_relaxed)) < alone;) {
            work.image = image;
            work.pixels = pixels + image * image_bytes;
            run_image(work, lane, nullptr);
        }
        work.shared = team_shared_;
        for (int image = alone; image < batch; ++image) {
            work.image = image;
            work.pixels = pixels + image * image_bytes;
            run_image(work, lane, &progress_[size_t(image - alone) * stages_.size()]);
        }
        if (kernels_->release) kernels_->release();
    };
    pool_->run(job);
}

void Plan::set_profiling(bool on) {
    const std::lock_guard lock(busy_);
    profiling_ = on;
    if (on)
        for (Lane& lane : lanes_) std::fill(lane.ns.begin(), lane.ns.end(), 0);
}

std::vector<std::pair<std::vector<std::string>, std::vector<int64_t>>> Plan::profile() const {
    std::vector<std::pair<std::vector<std::string>, std::vector<int64_t>>> result;
    size_t number = 0;
    for (const Stage& stage : stages_)
        for (const auto& step : stage.steps) {
            std::vector<int64_t> parts(kParts, 0);
            for (const Lane& lane : lanes_)
                for (int i = 0; i < kParts; ++i) parts[i] += lane.ns[number * kParts + i];
            result.emplace_back(step->nodes, parts);
            ++number;
        }
    return result;
}

}   // namespace p2vit
