"""Tools that turn Amaranth modules into Verilog, simulators and netlists. Each is located at its first use."""
