// The clock for Verilator. Registers and memories start with random contents, the same in every run.
#include <memory>

#include "Vbench.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

int main(int argc, char** argv) {
  VerilatedContext context;
  context.commandArgs(argc, argv);
  context.randReset(2);
  context.randSeed(1);
#if VM_TRACE
  context.traceEverOn(true);
#endif
  auto bench = std::make_unique<Vbench>(&context);
#if VM_TRACE
  VerilatedFstC trace;
  bench->trace(&trace, 99);
  trace.open("build/verilator.fst");
#endif
  bench->clk = 0;
  while (!context.gotFinish()) {
    bench->clk = !bench->clk;
    bench->eval();
#if VM_TRACE
    trace.dump(context.time());
#endif
    context.timeInc(1);
  }
#if VM_TRACE
  trace.close();
#endif
  bench->final();
  return 0;
}
