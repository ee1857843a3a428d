// The clock for Verilator.
#include <memory>

#include "Vbench.h"
#include "verilated.h"

int main(int argc, char** argv) {
  VerilatedContext context;
  context.commandArgs(argc, argv);
  auto bench = std::make_unique<Vbench>(&context);
  bench->clk = 0;
  while (!context.gotFinish()) {
    bench->clk = !bench->clk;
    bench->eval();
    context.timeInc(1);
  }
  bench->final();
  return 0;
}
