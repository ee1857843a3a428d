// A clock for simulators that run Verilog alone.
//   +vcd        writes every signal to build/wave.vcd
module clock;
  reg clk = 0;
  always #1 clk = ~clk;
  bench bench(.clk(clk));
  initial if ($test$plusargs("vcd")) begin
    $dumpfile("build/wave.vcd");
    $dumpvars(0, clock);
  end
endmodule
