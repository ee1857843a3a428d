"""Simulation with Icarus Verilog, as a second simulator, with a generated Verilog-2001 test bench."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from p2vit.hdl.packing import Words, pack, unpack
from p2vit.hdl.simulate import IDLE_LIMIT, StreamPort, stream_ports
from p2vit.hdl.tools.missing import RtlError, program
from p2vit.hdl.tools.process import run_tool
from p2vit.hdl.tools.verilog import scratch_folder, to_verilog

_BENCH = """`timescale 1ns/1ps
module bench;
  reg clk = 0, rst = 1;
  integer cycle = 0, idle = 0, seed = {seed};
{declarations}
  {top} dut(.clk(clk), .rst(rst){connections});
  always #5 clk = ~clk;
{always}
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == 2) rst <= 0;
    idle <= ({moves}) ? 0 : idle + 1;
    if (idle > {patience}) begin $display("stuck at cycle %0d", cycle); $finish; end
    if ({complete}) $finish;
  end
  initial begin
{initial}
  end
endmodule
"""


def _input(port: StreamPort, count: int, chance: int) -> tuple[str, str, str]:
    """Make declarations, behaviour and initial block of an input stream, which offers beats at random times."""
    n, top = port.name, port.bits - 1
    declare = (
        f"  reg [{top}:0] {n}_beats [0:{count}];\n  reg {n}_valid = 0; wire {n}_ready; integer {n}_at = 0;\n"
        f"  wire [{top}:0] {n}_payload = {n}_beats[{n}_at];\n"
    )
    behave = (
        f"  always @(posedge clk) if (rst) {n}_valid <= 0; else begin\n"
        f"    if ({n}_valid & {n}_ready) begin {n}_at <= {n}_at + 1; "
        f"{n}_valid <= {n}_at + 1 < {count} && $dist_uniform(seed, 0, 65535) >= {chance}; end\n"
        f"    else if (!{n}_valid) {n}_valid <= {n}_at < {count} && $dist_uniform(seed, 0, 65535) >= {chance};\n  end\n"
    )
    return declare, behave, f'    $readmemh("{n}.hex", {n}_beats);\n'


def _output(port: StreamPort, count: int, chance: int) -> tuple[str, str, str]:
    """Make declarations, behaviour and initial block of an output stream, which is ready at random times."""
    n, top = port.name, port.bits - 1
    declare = (
        f"  wire [{top}:0] {n}_payload; wire {n}_valid; reg {n}_ready = 0; integer {n}_at = 0, {n}_file;\n"
    )
    behave = (
        f"  always @(posedge clk) if (rst) {n}_ready <= 0; else begin\n"
        f"    {n}_ready <= $dist_uniform(seed, 0, 65535) >= {chance};\n"
        f"    if ({n}_valid & {n}_ready) begin\n"
        f'      $fdisplay({n}_file, "%h", {n}_payload); {n}_at <= {n}_at + 1;\n    end\n  end\n'
    )
    return declare, behave, f'    {n}_file = $fopen("{n}.out", "w");\n'


def test_bench(top: str, ports: list[StreamPort], beats: Mapping[str, int], seed: int, stall: float) -> str:
    """Make the Verilog text of the test bench.

    Args:
        top: Name of the module under test.
        ports: Streams of the module.
        beats: Stream → number of beats to send or to expect.
        seed: Random seed of the stalls.
        stall: Probability of a stall per cycle.
    """
    chance = round(min(max(stall, 0.0), 0.99) * 65536)
    parts = [(_input if port.is_input else _output)(port, beats[port.name], chance) for port in ports]
    names = [port.name for port in ports]
    return _BENCH.format(
        seed=seed + 1,
        top=top,
        declarations="".join(part[0] for part in parts),
        connections="".join(
            f", .{n}_{part}({n}_{part})" for n in names for part in ("payload", "valid", "ready")
        ),
        always="".join(part[1] for part in parts),
        moves=" | ".join(f"({n}_valid & {n}_ready)" for n in names),
        patience=IDLE_LIMIT,
        complete=" && ".join(f"{n}_at == {beats[n]}" for n in names),
        initial="".join(part[2] for part in parts),
    )


test_bench.__test__ = False  # type: ignore[attr-defined]


def run_icarus(
    module: Any,
    name: str,
    inputs: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    stall: float = 0.0,
    timeout: float = 300.0,
) -> dict[str, dict[str, Any]]:
    """Run a module with Icarus Verilog.

    Args:
        module: Component whose ports are streams.
        name: Name of the top module.
        inputs: Input stream → fields.
        counts: Output stream → number of expected beats.
        seed: Random seed of the stalls.
        stall: Probability of a stall per cycle.
        timeout: Time limit in seconds.

    Returns:
        Output stream → field → int64 [beats, ...].

    Raises:
        RtlError: Icarus is not installed, it rejects the design, or the module gives another number of beats.
    """
    ports = stream_ports(module)
    compiler, runner = program("iverilog"), program("vvp")
    with scratch_folder() as place:
        folder = Path(place)
        beats = dict(counts)
        for port in ports:
            if port.is_input:
                words = pack(port.layout, inputs[port.name])
                beats[port.name] = len(words)
                (folder / f"{port.name}.hex").write_text(to_hex(words, port.bits), encoding="utf-8")
        (folder / "dut.v").write_text(to_verilog(module, name), encoding="utf-8")
        (folder / "bench.v").write_text(test_bench(name, ports, beats, seed, stall), encoding="utf-8")
        words_ = [compiler, "-g2005", "-o", "bench.vvp", "bench.v", "dut.v"]
        run_tool(words_, f"Icarus Verilog on {name}", folder=folder)
        said = run_tool([runner, "-n", "bench.vvp"], f"simulating {name}", folder=folder, timeout=timeout)
        found = {}
        for port in ports:
            if port.is_input:
                continue
            words = from_hex((folder / f"{port.name}.out").read_text(encoding="utf-8"), port.bits, name)
            if len(words) != beats[port.name]:
                raise RtlError(
                    f"{name} in Icarus Verilog: stream {port.name!r} gave {len(words)} of {beats[port.name]} beats; "
                    f"{said.strip() or 'the run ended'}"
                )
            found[port.name] = unpack(port.layout, words)
        return found


def to_hex(words: Words, bits: int) -> str:
    """Format beats for ``$readmemh``, one line each, and a line of zeros for the index after the last beat."""
    digits = -(-bits // 4)
    lines = ["".join(f"{word:08x}" for word in beat[::-1])[-digits:] for beat in words]
    return "\n".join([*lines, "0" * digits]) + "\n"


def from_hex(text: str, bits: int, name: str) -> Words:
    """Parse beats that ``%h`` wrote.

    Raises:
        RtlError: A digit is x or z.
    """
    size = max(1, -(-bits // 32))
    rows = []
    for number, line in enumerate(text.split()):
        try:
            value = int(line, 16)
        except ValueError:
            raise RtlError(f"{name}: output beat {number} has unknown bits: {line}") from None
        rows.append([value >> (32 * word) & 0xFFFFFFFF for word in range(size)])
    return np.array(rows, dtype=np.uint32).reshape(-1, size)
