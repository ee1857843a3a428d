// Runs the Verilated chunk machine with an external memory and a descriptor source, and records every traced word with
// its cycle. One call per photo: the loop over cycles stays here.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>

namespace {

struct Options {
  uint64_t max_cycles;
  uint32_t latency;       // cycles from a request to its answer, 1 or more
  uint32_t read_stall;    // of 1024: how often a request is refused
  uint32_t answer_stall;  // of 1024: how often an answer that is due waits
  uint32_t write_stall;   // of 1024: how often a write is refused
  uint32_t descriptor_stall;
  uint64_t seed;
};

// One trace: room for `most` words of `size` bytes, and their cycles.
struct Trace {
  uint8_t* words;
  uint64_t* cycles;
  uint64_t most, count;
  void add(uint64_t cycle, const void* word, uint64_t size) {
    if (count < most) {
      std::memcpy(words + count * size, word, size);
      cycles[count] = cycle;
    }
    ++count;
  }
};

struct Counts {
  uint64_t cycles, array_busy, reads, writes, descriptors, bad_address;
};

// xorshift64*: small, and the same everywhere.
struct Random {
  uint64_t state;
  bool happens(uint32_t of_1024) {
    if (!of_1024) return false;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((state * 0x2545F4914F6CDD1DULL) >> 54) < of_1024;
  }
};

}  // namespace

enum { DONE = 0, OUT_OF_TIME = 1, BAD_ADDRESS = 2 };
enum { RESULT = 0, WRITTEN, NORM, AFFINE, SOFTMAX, PATCH };

extern "C" int p2vit_run(uint8_t* memory, uint64_t words, const uint8_t* stream, uint64_t descriptors,
                         const Options* options, Trace* traces, Counts* counts) {
  VerilatedContext context;
  auto top = std::make_unique<Vp2vit_chunk_machine>(&context);
  Random random{options->seed * 2 + 1};
  struct Answer {
    uint64_t due;
    uint8_t bytes[LINES];
  };
  std::deque<Answer> answers;
  std::memset(counts, 0, sizeof *counts);
  uint64_t next_descriptor = 0;
  auto posedge = [&] {
    top->clk = 1;
    top->eval();
    top->clk = 0;
  };
  top->clk = 0;
  top->rst = 1;
  top->eval();
  posedge();
  top->eval();
  posedge();
  top->rst = 0;
  for (uint64_t cycle = 0; cycle < options->max_cycles; ++cycle) {
    const bool offered = next_descriptor < descriptors && !random.happens(options->descriptor_stall);
    top->descriptor_valid = offered;
    if (offered) std::memcpy(&top->descriptor_data, stream + 48 * next_descriptor, 48);
    top->memory_read_ready = !random.happens(options->read_stall);
    top->memory_write_ready = !random.happens(options->write_stall);
    const bool answered =
        !answers.empty() && answers.front().due <= cycle && !random.happens(options->answer_stall);
    top->memory_answer_valid = answered;
    if (answered) {
      std::memcpy(&top->memory_answer_data, answers.front().bytes, LINES);
      answers.pop_front();
    }
    top->eval();
    counts->array_busy += top->array_busy;
    counts->cycles = cycle;
    if (top->result_valid) traces[RESULT].add(cycle, &top->result_data, 4 * LINES);
    if (top->written_valid) traces[WRITTEN].add(cycle, &top->written_data, 4 * LINES);
    if (top->norm_valid) {
      traces[NORM].add(cycle, &top->norm_data, 2 * LINES);
      traces[AFFINE].add(cycle, &top->affine_data, LINES);
    }
    if (top->softmax_valid) traces[SOFTMAX].add(cycle, &top->softmax_data, LINES);
    if (top->patch_valid) traces[PATCH].add(cycle, &top->patch_data, LINES);
    if (top->done) {
      top->final();
      return DONE;
    }
    if (offered && top->descriptor_ready) {
      ++next_descriptor;
      ++counts->descriptors;
    }
    // A read sees every write that was done in an earlier cycle.
    if (top->memory_read_valid && top->memory_read_ready) {
      const uint64_t at = top->memory_read_address;
      if (at >= words) {
        counts->bad_address = at;
        return BAD_ADDRESS;
      }
      Answer answer;
      answer.due = cycle + options->latency;
      std::memcpy(answer.bytes, memory + at * LINES, LINES);
      answers.push_back(answer);
      ++counts->reads;
    }
    if (top->memory_write_valid && top->memory_write_ready) {
      const uint64_t at = top->memory_write_address;
      if (at >= words) {
        counts->bad_address = at;
        return BAD_ADDRESS;
      }
      std::memcpy(memory + at * LINES, &top->memory_write_data, LINES);
      ++counts->writes;
    }
    posedge();
  }
  return OUT_OF_TIME;
}
