// The clock for simulators that run Verilog alone.
module clock;
  reg clk = 0;
  always #1 clk = ~clk;
  bench bench(.clk(clk));
  initial if ($test$plusargs("fst")) begin
    $dumpfile("build/icarus.fst");
    $dumpvars(0, clock);
  end
endmodule
