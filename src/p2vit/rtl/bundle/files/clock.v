// A clock for simulators that run Verilog alone.
module clock;
  reg clk = 0;
  always #1 clk = ~clk;
  bench bench(.clk(clk));
endmodule
