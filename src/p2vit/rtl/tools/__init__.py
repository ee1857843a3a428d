"""Tools that turn Amaranth modules into Verilog, simulators and netlists; each is found at first use."""
