"""Verilog primitives that a synthesis flow may replace by its own cells: memories and the clock gate."""

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Instance, Module, Signal, Value

#: Module name → Verilog. Each memory has one write port and one read port. A read of the address that is written in
#: the
#: same cycle returns the old word.
PRIMITIVES = {
    "p2vit_ram": """// Memory with a write port and a read port. As in a macro, a word is unknown until it is written.
module p2vit_ram #(parameter WIDTH = 8, parameter DEPTH = 2, parameter ADDRESS = 1) (
  input clk,  // Clock of both ports.
  input write_enable,  // The word is written at the rising edge.
  input [ADDRESS-1:0] write_address,  // Address of the word that is written.
  input [WIDTH-1:0] write_data,  // Word that is written.
  input read_enable,  // While it is low, the output keeps its value.
  input [ADDRESS-1:0] read_address,  // Address of the word that is read.
  output reg [WIDTH-1:0] read_data  // Word, a cycle after its address; the old one if it is written in that cycle.
);
  reg [WIDTH-1:0] words [0:DEPTH-1];
  always @(posedge clk) begin
    if (write_enable) words[write_address] <= write_data;
    if (read_enable) read_data <= words[read_address];
  end
endmodule
""",
    "p2vit_byte_ram": """// As p2vit_ram, with a write enable and data of its own for every byte.
module p2vit_byte_ram #(parameter BYTES = 2, parameter DEPTH = 2, parameter ADDRESS = 1) (
  input clk,  // Clock of both ports.
  input [BYTES-1:0] write_enable,  // For each byte: it is written at the rising edge.
  input [ADDRESS-1:0] write_address,  // Address of the word that is written.
  input [8*BYTES-1:0] write_data,  // Word that is written.
  input read_enable,  // While it is low, the output keeps its value.
  input [ADDRESS-1:0] read_address,  // Address of the word that is read.
  output reg [8*BYTES-1:0] read_data  // Word, a cycle after its address; the old one if it is written in that cycle.
);
  reg [8*BYTES-1:0] words [0:DEPTH-1];
  integer i;
  always @(posedge clk) begin
    if (|write_enable)
      for (i = 0; i < BYTES; i = i + 1)
        if (write_enable[i]) words[write_address][8*i +: 8] <= write_data[8*i +: 8];
    if (read_enable) read_data <= words[read_address];
  end
endmodule
""",
    "p2vit_clock_gate": """// Stops the clock of what is idle. P2VIT_NO_CLOCK_GATING: for clocks that cannot be gated.
module p2vit_clock_gate(
  input clk,  // Clock.
  input enable,  // The next rising edge passes. It is sampled while clk is low.
  output gated  // Gated clock.
);
`ifdef P2VIT_NO_CLOCK_GATING
  assign gated = clk;
`else
  reg latched;
  always @(clk or enable) if (!clk) latched = enable;
  assign gated = clk & latched;
`endif
endmodule
""",
}


def primitives_verilog() -> str:
    """Return all primitives as one Verilog text."""
    return "\n".join(PRIMITIVES.values())


@dataclass(frozen=True)
class RamPorts:
    """Values that the two ports of a memory are connected to.

    Attributes:
        write_enable: One bit, or one bit per byte of the word for a memory with byte enables.
        write_address: Address of the word that is written.
        write_data: Word that is written.
        read_enable: While it is low, the output keeps its value.
        read_address: Address of the word that is read.
    """

    write_enable: Value
    write_address: Value
    write_data: Value
    read_enable: Value
    read_address: Value


def ram(m: Module, name: str, width: int, depth: int, ports: RamPorts) -> Signal:
    """Add a memory with one write port and one read port to a module.

    Latency: one cycle from the read address to the data. Throughput: one word written and one word read per cycle. No
    handshake. A read of the address that is written in the same cycle returns the old word.

    Args:
        m: Module that the memory is added to.
        name: Name of the memory in that module.
        width: Width of a word in bits.
        depth: Number of words.
        ports: Values that the ports are connected to.

    Returns:
        The word that was read.
    """
    data = Signal(width, name=f"{name}_data")
    bits = max(1, (depth - 1).bit_length())
    by_byte = len(ports.write_enable) > 1

    def exact(value: Value, size: int, what: str) -> Signal:
        signal = Signal(size, name=f"{name}_{what}")
        m.d.comb += signal.eq(value)
        return signal

    m.submodules[name] = Instance(
        "p2vit_byte_ram" if by_byte else "p2vit_ram",
        **({"p_BYTES": width // 8} if by_byte else {"p_WIDTH": width}),
        p_DEPTH=depth,
        p_ADDRESS=bits,
        i_clk=ClockSignal(),
        i_write_enable=ports.write_enable,
        i_write_address=exact(ports.write_address, bits, "write_address"),
        i_write_data=exact(ports.write_data, width, "write_data"),
        i_read_enable=ports.read_enable,
        i_read_address=exact(ports.read_address, bits, "read_address"),
        o_read_data=data,
    )
    return data
