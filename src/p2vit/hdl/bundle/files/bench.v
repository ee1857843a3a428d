// Self-checking bench: descriptors and memory from files, every tensor compared with the program's own integers.
//   +stall=N    of 1024 cycles, how often each side of the memory and the descriptors are not ready (default 0)
//   +seed=N     of the stalls
//   +latency=N  cycles from a read request to its answer (default @LATENCY@)
module bench(input clk);
  localparam LINES = @LINES@;
  localparam WORD = 8 * LINES;
  localparam WORDS = @WORDS@;          // of the memory: tensors first, constants after them
  localparam TENSOR_WORDS = @TENSOR_WORDS@;
  localparam DESCRIPTORS = @DESCRIPTORS@;
  localparam TENSORS = @TENSORS@;
  localparam MAX_LATENCY = 1024;

  reg [WORD-1:0] memory [0:WORDS-1];
  reg [WORD-1:0] expected [0:TENSOR_WORDS-1];
  reg [255:0] descriptors [0:DESCRIPTORS-1];
  // Of every tensor: base, groups of one matrix, matrices, words of a group, words between groups, first row, rows.
  reg [31:0] places [0:7*TENSORS-1];

  integer stall, latency;
  reg [31:0] seed;
  reg [31:0] random;
  integer i;
  initial begin
    stall = 0;
    seed = 1;
    latency = @LATENCY@;
    i = $value$plusargs("stall=%d", stall);
    i = $value$plusargs("seed=%d", seed);
    i = $value$plusargs("latency=%d", latency);
    if (latency < 1) latency = 1;
    if (latency > MAX_LATENCY) latency = MAX_LATENCY;
    random = seed * 2 + 1;
    for (i = 0; i < TENSOR_WORDS; i = i + 1) memory[i] = 0;
    $readmemh("data/pixels.hex", memory, @PIXELS@, @PIXELS_END@);
    $readmemh("data/constants.hex", memory, TENSOR_WORDS, WORDS - 1);
    $readmemh("data/expected.hex", expected);
    $readmemh("data/descriptors.hex", descriptors);
    $readmemh("data/places.hex", places);
  end

  reg rst = 1;
  reg descriptor_valid = 0;
  reg [255:0] descriptor_data = 0;
  wire descriptor_ready;
  wire read_valid, write_valid, done;
  reg read_ready = 0, write_ready = 0, answer_valid = 0;
  wire [31:0] read_address, write_address;
  reg [WORD-1:0] answer_data = 0;
  wire [WORD-1:0] write_data;
  wire [23:0] stores_done;
  wire array_busy, vector_busy;

  p2vit_accelerator accelerator(
    .clk(clk), .rst(rst),
    .descriptor_valid(descriptor_valid), .descriptor_ready(descriptor_ready), .descriptor_data(descriptor_data),
    .memory__read_valid(read_valid), .memory__read_ready(read_ready), .memory__read_address(read_address),
    .memory__answer_valid(answer_valid), .memory__answer_data(answer_data),
    .memory__write_valid(write_valid), .memory__write_ready(write_ready), .memory__write_address(write_address),
    .memory__write_data(write_data),
    .stores_done(stores_done), .array_busy(array_busy), .vector_busy(vector_busy), .done(done));

  // Everything changes at the falling edge, so that nothing depends on the order of events at the rising one.
  // An answer that is due waits in a ring of as many places as requests can be outstanding.
  reg [31:0] ring_address [0:2*MAX_LATENCY-1];
  reg [31:0] ring_due [0:2*MAX_LATENCY-1];
  integer head = 0, tail = 0, cycle = -2, next = 0, busy = 0;

  // xorshift32
  function [31:0] step(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      step = y ^ (y << 5);
    end
  endfunction

  function stalls(input [31:0] x);
    stalls = stall > 0 && x[31:22] < stall;
  endfunction

  integer mismatches, compared, tensor, matrix, group, word, line;
  reg [31:0] at;
  task compare;
    begin
      mismatches = 0;
      compared = 0;
      for (tensor = 0; tensor < TENSORS; tensor = tensor + 1)
        for (matrix = 0; matrix < places[7*tensor+2]; matrix = matrix + 1)
          for (group = 0; group < places[7*tensor+1]; group = group + 1)
            for (word = 0; word < places[7*tensor+3]; word = word + 1) begin
              at = places[7*tensor] + (matrix * places[7*tensor+1] + group) * places[7*tensor+4] + word;
              for (line = 0; line < LINES; line = line + 1)
                if (group * LINES + line >= places[7*tensor+5] &&
                    group * LINES + line < places[7*tensor+5] + places[7*tensor+6]) begin
                  compared = compared + 1;
                  if (memory[at][8*line +: 8] !== expected[at][8*line +: 8]) begin
                    if (mismatches < 10)
                      $display("tensor %0d word %0d line %0d: %h, expected %h", tensor, at, line,
                               memory[at][8*line +: 8], expected[at][8*line +: 8]);
                    mismatches = mismatches + 1;
                  end
                end
            end
    end
  endtask

  always @(negedge clk) begin
    // What the rising edge before this one did.
    if (cycle >= 0) begin
      if (done) begin
        compare;
        $display("cycles %0d array_busy %0d compared %0d mismatches %0d", cycle, busy, compared, mismatches);
        if (mismatches == 0) $display("PASS");
        else $display("FAIL");
        $finish;
      end
    end
    rst = cycle < 0;
    random = step(random);
    descriptor_valid = !rst && next < DESCRIPTORS && !stalls(random);
    descriptor_data = descriptors[next < DESCRIPTORS ? next : 0];
    random = step(random);
    read_ready = !rst && !stalls(random);
    random = step(random);
    write_ready = !rst && !stalls(random);
    random = step(random);
    answer_valid = !rst && head != tail && ring_due[head] <= cycle && !stalls(random);
    answer_data = memory[ring_address[head]];
    cycle = cycle + 1;
  end

  // The handshakes of the cycle, seen at the rising edge that ends it.
  always @(posedge clk) if (!rst && !done) begin
    if (array_busy) busy = busy + 1;
    if (answer_valid) head = (head + 1) % (2 * MAX_LATENCY);
    if (descriptor_valid && descriptor_ready) next = next + 1;
    if (read_valid && read_ready) begin
      ring_address[tail] = read_address;
      ring_due[tail] = cycle - 1 + latency;
      tail = (tail + 1) % (2 * MAX_LATENCY);
    end
    if (write_valid && write_ready) memory[write_address] = write_data;
  end
endmodule
