// Drives ready/valid streams of a simulated design with random stalls on both sides, all inside the shared object.
#include "harness.h"

#include <cstring>
#include <vector>

namespace {

// xorshift64*: small, seeded, the same on every machine.
struct Random {
  std::uint64_t state;
  explicit Random(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull) {
    if (!state) state = 1;
    next();
  }
  std::uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Dull;
  }
  bool below(std::uint32_t chance) { return (next() >> 48) < chance; }
};

struct Source {
  const p2vit_port* port;
  p2vit_beats* beats;
  Random random;
  bool offered = false;
};

struct Sink {
  const p2vit_port* port;
  p2vit_beats* beats;
  Random random;
  std::vector<std::uint8_t> held;
  bool waiting = false;
};

}  // namespace

std::uint64_t p2vit_run_streams(const p2vit_model* model, p2vit_beats* inputs, p2vit_beats* outputs,
                                const p2vit_record* record, std::uint64_t patience, std::uint64_t after) {
  std::vector<Source> sources;
  std::vector<Sink> sinks;
  for (std::uint32_t i = 0; i < model->input_count; ++i)
    sources.push_back({&model->inputs[i], &inputs[i], Random(inputs[i].seed)});
  for (std::uint32_t i = 0; i < model->output_count; ++i)
    sinks.push_back({&model->outputs[i], &outputs[i], Random(outputs[i].seed),
                     std::vector<std::uint8_t>(model->outputs[i].bytes)});
  std::uint64_t time = 0;
  auto settle = [&](int level) {
    *model->clk = static_cast<std::uint8_t>(level);
    model->eval(model->self);
    if (model->dump) model->dump(model->self, time++);
  };
  for (auto& source : sources) *source.port->valid = 0;
  for (auto& sink : sinks) *sink.port->ready = 0;
  *model->rst = 1;
  for (int i = 0; i < 2; ++i) {
    settle(0);
    settle(1);
  }
  *model->rst = 0;
  std::uint64_t cycle = 0, last = 0, idle = 0, end = 0;
  bool finishing = false;
  for (;; ++cycle) {
    for (auto& s : sources) {
      // Once offered, a beat stays until it is taken.
      if (!s.offered && s.beats->done < s.beats->count && !s.random.below(s.beats->stall)) {
        s.offered = true;
        std::memcpy(s.port->payload, s.beats->data + s.beats->done * s.port->bytes, s.port->bytes);
      }
      *s.port->valid = s.offered;
    }
    for (auto& s : sinks) *s.port->ready = finishing || !s.random.below(s.beats->stall);
    settle(0);
    if (record && cycle < record->cycles) {
      std::uint8_t* row = record->flags + cycle * (sources.size() + sinks.size());
      for (auto& s : sources) *row++ = static_cast<std::uint8_t>(*s.port->valid | *s.port->ready << 1);
      for (auto& s : sinks) *row++ = static_cast<std::uint8_t>(*s.port->valid | *s.port->ready << 1);
    }
    bool moved = false;
    for (auto& s : sources) {
      if (!s.offered || !*s.port->ready) continue;
      if (s.beats->cycles) s.beats->cycles[s.beats->done] = cycle;
      ++s.beats->done;
      s.offered = false;
      moved = true;
    }
    for (auto& s : sinks) {
      const bool valid = *s.port->valid;
      if (s.waiting && (!valid || std::memcmp(s.held.data(), s.port->payload, s.port->bytes))) ++s.beats->unstable;
      const bool taken = valid && *s.port->ready;
      s.waiting = valid && !taken;
      if (s.waiting) std::memcpy(s.held.data(), s.port->payload, s.port->bytes);
      if (!taken) continue;
      if (s.beats->done == s.beats->count) {
        ++s.beats->surplus;  // not a move: a stream that never ends must not keep the run going
        continue;
      }
      moved = true;
      std::memcpy(s.beats->data + s.beats->done * s.port->bytes, s.port->payload, s.port->bytes);
      if (s.beats->cycles) s.beats->cycles[s.beats->done] = cycle;
      ++s.beats->done;
    }
    settle(1);
    idle = moved ? 0 : idle + 1;
    if (!finishing) {
      if (moved) last = cycle + 1;
      bool complete = true;
      for (auto& s : sources) complete &= s.beats->done == s.beats->count;
      for (auto& s : sinks) complete &= s.beats->done == s.beats->count;
      if (complete || idle > patience) {
        finishing = true;
        end = cycle + after;
      }
    } else if (cycle >= end) {
      break;
    }
  }
  return last;
}
