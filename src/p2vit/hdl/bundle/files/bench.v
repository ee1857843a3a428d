// Self-checking bench: descriptors and memory from files, every tensor compared with the program's own integers.
//   +stall=N    of 1024 cycles, how often each side of the memory and the descriptors are not ready; 0 to 1000, default 0
//   +seed=N     of the stalls; 0 to 4294967295, default 1
//   +latency=N  cycles from a read request to its answer; 1 to 1000, default @LATENCY@
//   +runs=N     run the photo N times, with a reset of one cycle between two runs; 1 to 1000, default 1
//   +reset=N    reset in cycle N of the first run, in the middle of everything, and start again; 0 (default): never
//   +fst        write every signal to build/icarus.fst or build/verilator.fst
// Registers, buffers and tensors start unknown (in Verilator: random).
module bench(input clk);
  localparam LINES = @LINES@;
  localparam WORD = 8 * LINES;
  localparam WORDS = @WORDS@;          // of the memory: tensors first, constants after them
  localparam TENSOR_WORDS = @TENSOR_WORDS@;
  localparam DESCRIPTORS = @DESCRIPTORS@;
  localparam TENSORS = @TENSORS@;
  localparam MAX_READS = @MAX_READS@;        // reads in flight, which the accelerator never exceeds
  localparam LONGEST_RUN = @LONGEST_RUN@;      // cycles in which nothing need move
  localparam MAX_CYCLE = 2000000000;

  reg [WORD-1:0] memory [0:WORDS-1];
  reg [WORD-1:0] expected [0:TENSOR_WORDS-1];
  reg [255:0] descriptors [0:DESCRIPTORS-1];
  // Of every tensor: base, groups of one matrix, matrices, words of a group, words between groups, first row, rows.
  reg [31:0] places [0:7*TENSORS-1];

  // --- options. Verilog cannot list them, but $test$plusargs finds one by the start of its name. So an option is unknown
  // if it starts like a known one and goes on differently.
  localparam OPTIONS = 7;
  reg [127:0] options [0:OPTIONS-1];
  integer stall, latency, runs, reset_at, patience;
  reg [31:0] seed;
  reg refused;

  function integer length(input [127:0] text);
    begin
      length = 0;
      while (length < 16 && (text >> (8 * length)) != 0) length = length + 1;
    end
  endfunction

  function known(input [127:0] start);
    integer k;
    begin
      known = 0;
      for (k = 0; k < OPTIONS; k = k + 1)
        if (length(start) <= length(options[k]) &&
            options[k] >> (8 * (length(options[k]) - length(start))) == start) known = 1;
    end
  endfunction

  task refuse(input [127:0] start);
    begin
      if (!refused)
        $display("no option begins with +%0s; there are +stall=N +seed=N +latency=N +runs=N +reset=N +fst", start);
      refused = 1;
    end
  endtask

  task refuse_unknown;
    integer option, size;
    reg [127:0] start, longer;
    reg [7:0] character;
    reg goes_on;
    begin
      for (option = 0; option < OPTIONS; option = option + 1)
        for (size = 0; size <= length(options[option]); size = size + 1) begin
          start = options[option] >> (8 * (length(options[option]) - size));
          // What follows "=" is a value.
          if ((size == 0 || $test$plusargs(start)) && start[7:0] != "=" && start[7:0] != "+") begin
            goes_on = 0;
            for (character = 33; character < 127; character = character + 1) begin
              longer = {start[119:0], character};
              if ($test$plusargs(longer)) begin
                goes_on = 1;
                if (!known(longer)) refuse(longer);
              end
            end
            if (size > 0 && !goes_on && start != "fst") refuse(start);
          end
        end
    end
  endtask

  task take(input integer option, input [31:0] low, input [31:0] high, inout [31:0] value);
    reg [255:0] text;
    reg [63:0] number;
    integer place;
    reg bad;
    begin
      text = 0;
      if ($value$plusargs({options[option], "%s"}, text)) begin
        number = 0;
        bad = text == 0 || text >> 96 != 0;
        for (place = 11; place >= 0; place = place - 1)
          if (text[8*place +: 8] != 0) begin
            if (text[8*place +: 8] < "0" || text[8*place +: 8] > "9") bad = 1;
            number = 10 * number + text[8*place +: 4];
          end
        if (bad || number < low || number > high) begin
          $display("+%0s%0s: must be a number from %0d to %0d", options[option], text, low, high);
          refused = 1;
        end
        value = number[31:0];
      end
    end
  endtask

  reg [31:0] random;
  integer i;

  task fill_memory;
    begin
      for (i = 0; i < TENSOR_WORDS; i = i + 1) memory[i] = {WORD{1'bx}};
      $readmemh("data/pixels.hex", memory, @PIXELS@, @PIXELS_END@);
    end
  endtask

  initial begin
    options[0] = "stall="; options[1] = "seed="; options[2] = "latency="; options[3] = "runs="; options[4] = "reset=";
    options[5] = "fst"; options[6] = "verilator+";
    refused = 0;
    stall = 0; seed = 1; latency = @LATENCY@; runs = 1; reset_at = 0;
    refuse_unknown;
    take(0, 0, 1000, stall);
    take(1, 0, 32'hffffffff, seed);
    take(2, 1, 1000, latency);
    take(3, 1, 1000, runs);
    take(4, 0, MAX_CYCLE, reset_at);
    if (refused) begin
      $display("FAIL");
      $finish;
    end
    // With stalls, one step may take many cycles.
    patience = 2 * LONGEST_RUN + (2 * latency + 1000) * 1024 / (1024 - stall);
    random = seed * 2 + 1;
    $readmemh("data/constants.hex", memory, TENSOR_WORDS, WORDS - 1);
    $readmemh("data/expected.hex", expected);
    $readmemh("data/descriptors.hex", descriptors);
    $readmemh("data/places.hex", places);
    fill_memory;
  end

  reg rst, cold_rst, descriptor_valid;
  reg [255:0] descriptor_data;
  wire descriptor_ready;
  wire read_valid, write_valid, done;
  reg read_ready, write_ready, answer_valid;
  wire [31:0] read_address, write_address;
  reg [WORD-1:0] answer_data;
  wire [WORD-1:0] write_data;
  wire [23:0] stores_done;
  wire array_busy, vector_busy;

  p2vit_accelerator accelerator(
    .clk(clk), .rst(rst), .cold_rst(cold_rst),
    .descriptor_valid(descriptor_valid), .descriptor_ready(descriptor_ready), .descriptor_data(descriptor_data),
    .memory_read_valid(read_valid), .memory_read_ready(read_ready), .memory_read_address(read_address),
    .memory_answer_valid(answer_valid), .memory_answer_data(answer_data),
    .memory_write_valid(write_valid), .memory_write_ready(write_ready), .memory_write_address(write_address),
    .memory_write_data(write_data),
    .stores_done(stores_done), .array_busy(array_busy), .vector_busy(vector_busy), .done(done));

  // Everything changes at the falling edge, so that nothing depends on the order of events at the rising one.
  // The memory: a ring of the reads in flight, each with the cycle in which its answer is due. A reset of the accelerator
  // does not reset the memory.
  reg [31:0] ring_address [0:MAX_READS-1];
  integer ring_due [0:MAX_READS-1];
  integer head, tail, in_flight;
  integer now;                          // cycles since the start
  integer cycle;                        // cycles since the last reset
  integer next, busy, run, moved, total;
  reg was_reset;
  initial begin
    rst = 1; cold_rst = 1; descriptor_valid = 0; read_ready = 0; write_ready = 0; answer_valid = 0;
    head = 0; tail = 0; in_flight = 0;
    now = 0; cycle = -2; next = 0; busy = 0; run = 0; moved = 0; total = 0; was_reset = 0;
  end

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

  task restart;                         // a reset of one cycle; reads stay in flight
    begin
      cycle = -1;
      next = 0;
      busy = 0;
      fill_memory;
    end
  endtask

  always @(negedge clk) if (!refused) begin
    // What the rising edge before this one did.
    if (cycle > 0 && done === 1) begin
      compare;
      $display("cycles %0d array_busy %0d compared %0d mismatches %0d", cycle, busy, compared, mismatches);
      total = total + mismatches;
      run = run + 1;
      if (run < runs) restart;
      else begin
        if (total == 0) $display("PASS");
        else $display("FAIL");
        $finish;
      end
    end
    else if (now - moved > patience) begin
      $display("nothing moved for %0d cycles: cycle %0d, %0d of %0d descriptors taken, %0d stores done, %0d reads in flight",
               patience, cycle, next, DESCRIPTORS, stores_done, in_flight);
      $display("FAIL");
      $finish;
    end
    else if (reset_at != 0 && cycle == reset_at && !was_reset) begin
      was_reset = 1;
      $display("reset in cycle %0d with %0d reads in flight", cycle, in_flight);
      restart;
    end
    rst = cycle < 0;
    cold_rst = rst && now < 2;
    random = step(random);
    descriptor_valid = !rst && next < DESCRIPTORS && !stalls(random);
    descriptor_data = descriptors[next < DESCRIPTORS ? next : 0];
    random = step(random);
    read_ready = !stalls(random);
    random = step(random);
    write_ready = !stalls(random);
    random = step(random);
    answer_valid = in_flight != 0 && ring_due[head] <= now && !stalls(random);
    answer_data = memory[ring_address[head]];
    cycle = cycle + 1;
    now = now + 1;
  end

  // The handshakes of the cycle, seen at the rising edge that ends it.
  always @(posedge clk) if (!refused && now > 1) begin
    if (^{read_valid, write_valid, descriptor_ready, done, stores_done, array_busy, vector_busy} === 1'bx ||
        (read_valid && ^read_address === 1'bx) || (write_valid && ^write_address === 1'bx)) begin
      $display("an output of the accelerator is unknown in cycle %0d", cycle);
      $display("FAIL");
      $finish;
    end
    if (rst || done || (descriptor_valid && descriptor_ready) || (read_valid && read_ready) || answer_valid ||
        (write_valid && write_ready)) moved = now;
    if (array_busy && !done) busy = busy + 1;
    if (answer_valid) begin
      head = (head + 1) % MAX_READS;
      in_flight = in_flight - 1;
    end
    if (descriptor_valid && descriptor_ready) next = next + 1;
    if (read_valid && read_ready) begin
      if (in_flight == MAX_READS) begin
        $display("more than %0d reads in flight", MAX_READS);
        $display("FAIL");
        $finish;
      end
      ring_address[tail] = read_address;
      ring_due[tail] = now - 1 + latency;
      tail = (tail + 1) % MAX_READS;
      in_flight = in_flight + 1;
    end
    if (write_valid && write_ready) memory[write_address] = write_data;
  end
endmodule
