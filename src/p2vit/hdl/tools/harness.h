// What the stream harness sees of a simulated design: pointers into the model that Verilator generated.
#pragma once
#include <cstdint>

extern "C" {

// One ready/valid stream of the design's top. `bytes` is how much room Verilator gives the payload: 1, 2, 4, 8, or 4 n.
struct p2vit_port {
  std::uint8_t* valid;
  std::uint8_t* ready;
  void* payload;
  std::uint32_t bytes;
};

struct p2vit_model {
  void* self;
  void (*eval)(void*);
  void (*dump)(void*, std::uint64_t time);  // null without waveforms
  std::uint8_t* clk;
  std::uint8_t* rst;
  const p2vit_port* inputs;
  std::uint32_t input_count;
  const p2vit_port* outputs;
  std::uint32_t output_count;
};

// Beats of one stream. For an input: what to send. For an output: room for `count` beats.
struct p2vit_beats {
  std::uint8_t* data;
  std::uint64_t* cycles;  // cycle of each transfer, or null
  std::uint64_t count;
  std::uint64_t done;      // transfers that took place
  std::uint64_t surplus;   // outputs: beats beyond `count`
  std::uint64_t unstable;  // outputs: valid fell, or the payload changed, before the beat was taken
  std::uint64_t seed;
  std::uint32_t stall;  // chance of holding back in a cycle, of 65536
  std::uint32_t reserved;
};

// Per cycle and stream (inputs first): bit 0 valid, bit 1 ready. Null for no record.
struct p2vit_record {
  std::uint8_t* flags;
  std::uint64_t cycles;
};

// Runs until every input is sent and every output is full, or nothing moves for `patience` cycles; then `after`
// cycles more with every output ready, to see surplus beats. Returns cycles from the end of reset to the last transfer.
std::uint64_t p2vit_run_streams(const p2vit_model* model, p2vit_beats* inputs, p2vit_beats* outputs,
                                const p2vit_record* record, std::uint64_t patience, std::uint64_t after);
}
