// Runs the chunk machine in an event-driven simulator. Memories and registers start unknown.
`timescale 1ns / 1ps
module bench;
  localparam LATENCY = 8;
  reg clk = 0, rst = 1;
  reg [383:0] descriptors [0:`DESCRIPTORS-1];
  reg [8*`LINES-1:0] words [0:`WORDS-1];
  integer next = 0, cycle = 0, out;
  reg [8*`LINES-1:0] pipe [0:LATENCY-1];
  reg [LATENCY-1:0] there = 0;
  wire ready, read, write, done, written_valid, norm_valid, softmax_valid;
  wire [31:0] read_address, write_address;
  wire [8*`LINES-1:0] write_data, affine, codes;
  wire [32*`LINES-1:0] written;
  reg offered = 0;
  integer i;
  p2vit_chunk_machine dut (
    .clk(clk), .rst(rst), .descriptor_valid(offered), .descriptor_ready(ready),
    .descriptor_data(descriptors[next]), .memory_read_valid(read), .memory_read_ready(1'b1),
    .memory_read_address(read_address), .memory_answer_valid(there[LATENCY-1]),
    .memory_answer_data(pipe[LATENCY-1]), .memory_write_valid(write), .memory_write_ready(1'b1),
    .memory_write_address(write_address), .memory_write_data(write_data), .done(done),
    .written_valid(written_valid), .written_data(written), .norm_valid(norm_valid), .affine_data(affine),
    .softmax_valid(softmax_valid), .softmax_data(codes)
  );
  always #5 clk = ~clk;
  initial begin
    $readmemh("descriptors.hex", descriptors);
    $readmemh("memory.hex", words);
    out = $fopen("trace.txt", "w");
    repeat (3) @(negedge clk);
    rst = 0;
    offered = 1;
  end
  // Everything is sampled and changed at the falling edge.
  always @(negedge clk) if (!rst) begin
    #1;
    if (written_valid !== 1'b0) $fdisplay(out, "w %0d %h", cycle, written);
    if (norm_valid !== 1'b0) $fdisplay(out, "n %0d %h", cycle, affine);
    if (softmax_valid !== 1'b0) $fdisplay(out, "s %0d %h", cycle, codes);
    if (done !== 1'b0) begin
      $fdisplay(out, "d %0d", cycle);
      $finish;
    end
    if (cycle == `MOST) $finish;
  end
  always @(posedge clk) if (!rst) begin
    cycle <= cycle + 1;
    for (i = 1; i < LATENCY; i = i + 1) pipe[i] <= pipe[i-1];
    pipe[0] <= words[read_address];
    there <= {there[LATENCY-2:0], read};
    if (write) words[write_address] <= write_data;
    if (offered && ready) begin
      next <= next == `DESCRIPTORS - 1 ? next : next + 1;
      offered <= next != `DESCRIPTORS - 1;
    end
  end
endmodule
