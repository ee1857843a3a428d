// The executable form of a program: buffers, and steps grouped into stages.
//
// Within a stage every step works row by row. A thread takes a chunk of rows through all steps of the stage while the
// rows are in its cache. A step that reads rows of other chunks (attention reads every key) begins a new stage.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels.h"
#include "packing.h"
#include "pool.h"

namespace p2vit {

enum class Kind { biased8, int16, int32, raw };

constexpr int kind_bits(Kind kind) { return kind == Kind::biased8 ? 8 : kind == Kind::int16 ? 16 : 32; }

struct Buffer {
    int rows = 0;
    int columns = 0;
    Kind kind = Kind::biased8;
    size_t pitch = 0;            // bytes per row; for raw, of the whole buffer
    bool local = true;           // used row by row within one stage, so it is in the thread's own memory
    int first = -1, last = -1;   // first and last use: step numbers of a local buffer, stage numbers of a shared one
    size_t offset = 0;

    size_t bytes(int chunk_rows) const { return kind == Kind::raw ? pitch : pitch * (local ? chunk_rows : rows); }
};

struct Access {
    int buffer;
    bool whole;   // reads or writes rows of other chunks
};

struct OutputArray {
    void* data;
    size_t image_bytes;
};

// The memory and the position that a running step works with.
struct Work {
    const std::vector<Buffer>* buffers;
    std::byte* shared;
    std::byte* local;
    std::byte* scratch;
    const uint8_t* pixels;   // pixels of this image
    const std::vector<OutputArray>* outputs;
    int image;
    int chunk_first;
    int64_t* parts_ns;   // three time counters of the step; null unless profiling

    std::byte* row(int buffer, int r) const {
        const Buffer& b = (*buffers)[buffer];
        if (b.kind == Kind::raw) return shared + b.offset;
        return b.local ? local + b.offset + (r - chunk_first) * b.pitch : shared + b.offset + r * b.pitch;
    }
    ptrdiff_t pitch(int buffer) const { return ptrdiff_t((*buffers)[buffer].pitch); }
    std::byte* output(int index) const {
        const OutputArray& o = (*outputs)[index];
        return static_cast<std::byte*>(o.data) + image * o.image_bytes;
    }
};

class Step {
  public:
    virtual ~Step() = default;
    virtual void run(const Work& work, int first, int count) const = 0;
    virtual size_t scratch() const { return 0; }

    std::vector<std::string> nodes;   // names of the program's nodes that it computes
    std::vector<Access> accesses;
};

struct Stage {
    int first = 0;
    int rows = 0;
    std::vector<std::unique_ptr<Step>> steps;
};

class Plan {
  public:
    Plan(std::shared_ptr<Pool> pool, const Kernels* kernels, int height, int width, int channels, int chunk_rows);

    int add_buffer(int rows, int columns, Kind kind);
    int add_raw(size_t bytes);
    int add_output(size_t image_bytes);
    void begin_stage(int first, int rows);
    void add_step(std::unique_ptr<Step> step, std::vector<std::string> nodes, std::vector<Access> accesses);
    void finish();

    // pixels: [batch][height][width][channels]; outputs are in the order in which they were added.
    void run(const uint8_t* pixels, int batch, const std::vector<OutputArray>& outputs);

    const Buffer& buffer(int index) const;
    const Kernels* kernels() const { return kernels_; }
    int height() const { return height_; }
    int width() const { return width_; }
    int channels() const { return channels_; }
    // First row and number of rows of the stage to which steps are being added.
    int stage_first() const;
    int stage_rows() const;
    size_t output_bytes(int index) const { return output_bytes_.at(index); }
    size_t output_count() const { return output_bytes_.size(); }
    bool finished() const { return finished_; }
    size_t arena_bytes() const { return arena_.size(); }

    void set_profiling(bool on);
    // Nodes and nanoseconds of every step since profiling started, summed over threads.
    std::vector<std::pair<std::vector<std::string>, std::vector<int64_t>>> profile() const;

  private:
    struct Lane {   // memory of one thread
        std::byte* shared;
        std::byte* local;
        std::byte* scratch;
        std::vector<int64_t> ns;
    };

    // Progress of one stage of an image that all threads compute together.
    struct Progress {
        std::atomic<int> next{0};   // first chunk that no thread has claimed
        std::atomic<int> done{0};   // chunks finished
    };

    void run_image(Work work, Lane& lane, Progress* progress) const;
    void run_chunk(const Stage& stage, size_t step_base, Work work, Lane& lane, int chunk, int chunks) const;
    int chunks_of(const Stage& stage, int members) const;
    static size_t assign_offsets(std::vector<Buffer>& buffers, bool local, int chunk_rows);

    std::shared_ptr<Pool> pool_;
    const Kernels* kernels_;
    int height_, width_, channels_, chunk_rows_;
    std::vector<Buffer> buffers_;
    std::vector<Stage> stages_;
    std::vector<size_t> output_bytes_;
    std::vector<std::byte> arena_;
    std::vector<Lane> lanes_;
    std::byte* team_shared_ = nullptr;   // shared buffers of an image that all threads compute together
    std::vector<Progress> progress_;
    std::atomic<int> next_image_{0};
    std::mutex busy_;
    bool finished_ = false, profiling_ = false;
};

}   // namespace p2vit
