"""Simulation of a module with Verilator: input beats, output beats, and random stalls on all streams."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib import stream
from amaranth.lib.wiring import In
from numpy.typing import NDArray

from p2vit.hdl.packing import Words, from_storage, pack, size_of, storage_bytes, to_storage, unpack
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.verilator import build_shared, compile_object
from p2vit.hdl.tools.verilog import to_verilog

#: A run is stopped when no beat is transferred for this many cycles.
IDLE_LIMIT = 20_000
#: Further cycles after the last expected beat, to detect surplus beats.
EXTRA_CYCLES = 64


@dataclass(frozen=True)
class StreamPort:
    """One ready/valid stream of a top module.

    Attributes:
        name: Name of the port.
        layout: Struct of the payload.
        is_input: Whether the stream is an input of the module.
    """

    name: str
    layout: Any
    is_input: bool

    @property
    def bits(self) -> int:
        """Width of the payload in bits."""
        return size_of(self.layout)


def stream_ports(module: Any) -> list[StreamPort]:
    """Return the streams of a component: inputs first, then outputs, in the order of the signature.

    Raises:
        RtlError: The component has a port that is not a stream.
    """
    ports = []
    for name, member in module.signature.members.items():
        if member.is_port or not isinstance(member.signature, stream.Signature):
            raise RtlError(f"port {name!r} of {type(module).__name__} is not a stream")
        ports.append(StreamPort(name, getattr(module, name).payload.shape(), member.flow == In))
    return sorted(ports, key=lambda port: not port.is_input)


@dataclass
class ModuleRun:
    """Result of one run.

    Attributes:
        outputs: Stream → field → int64 [beats, ...].
        cycles: Cycles from the end of reset to the last beat.
        moved: Stream → cycle in which each beat is transferred, int64 [beats].
        unstable: Number of output beats whose ``valid`` fell or whose payload changed before the transfer.
        surplus: Number of output beats beyond the expected ones.
        flags: Recorded handshakes, uint8 [cycles, streams]; bit 0 is valid, bit 1 is ready. The streams are in the
            order of :func:`stream_ports`.
    """

    outputs: dict[str, dict[str, NDArray[np.int64]]]
    cycles: int
    moved: dict[str, NDArray[np.int64]]
    unstable: int
    surplus: int
    flags: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))


class _Port(ctypes.Structure):
    _fields_ = (
        ("valid", ctypes.c_void_p),
        ("ready", ctypes.c_void_p),
        ("payload", ctypes.c_void_p),
        ("bytes", ctypes.c_uint32),
    )


class _Beats(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("cycles", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("surplus", ctypes.c_uint64),
        ("unstable", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("stall", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )


class _Record(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_void_p), ("cycles", ctypes.c_uint64))


_SHIM = """
#include "{harness}"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
namespace {{
struct Instance {{
  VerilatedContext context;
  V{top} top{{&context, "{top}"}};
  p2vit_port inputs[{input_room}];
  p2vit_port outputs[{output_room}];
  p2vit_model model;
#if VM_TRACE
  VerilatedVcdC vcd;
#endif
}};
void evaluate(void* self) {{ static_cast<Instance*>(self)->top.eval(); }}
#if VM_TRACE
void dump(void* self, std::uint64_t time) {{ static_cast<Instance*>(self)->vcd.dump(time * 5); }}
#endif
}}
extern "C" void* p2vit_open(const char* trace) {{
  auto* it = new Instance;
#if VM_TRACE
  if (trace) it->context.traceEverOn(true);
#endif
  auto& top = it->top;
  auto& model = it->model;
{ports}
  model = {{it, evaluate, nullptr, &top.clk, &top.rst, it->inputs, {inputs}, it->outputs, {outputs}}};
#if VM_TRACE
  if (trace) {{
    it->top.trace(&it->vcd, 99);
    it->vcd.open(trace);
    if (!it->vcd.isOpen()) {{ delete it; return nullptr; }}
    model.dump = dump;
  }}
#endif
  return it;
}}
extern "C" const p2vit_model* p2vit_model_of(void* self) {{ return &static_cast<Instance*>(self)->model; }}
extern "C" void p2vit_close(void* self) {{
  auto* it = static_cast<Instance*>(self);
#if VM_TRACE
  if (it->model.dump) it->vcd.close();
#endif
  it->top.final();
  delete it;
}}
"""


def _source(name: str) -> str:
    return (files("p2vit.hdl.tools") / name).read_text(encoding="utf-8")


def harness_object() -> Path:
    """Return the object file of the stream harness."""
    return compile_object(
        "the stream harness", _source("harness.cpp").replace('#include "harness.h"', _source("harness.h"))
    )


class ModuleSimulation:
    """Module that is compiled with Verilator and the stream harness.

    Attributes:
        name: Name of the top module.
        verilog: Verilog text of the module.
        ports: Streams of the module.
    """

    def __init__(self, module: Any, name: str, *, optimization: str = "quick", trace: bool = False) -> None:
        """Generate and compile the module, or take it from the cache.

        Args:
            module: Component whose ports are streams.
            name: Name of the top module.
            optimization: ``quick`` compiles faster, ``fast`` runs faster.
            trace: Whether to compile with waveforms.

        Raises:
            MissingPackageError: A package of the extra ``rtl`` is not installed.
            RtlError: There is no compiler, or a tool rejects the design.
        """
        self.name = name
        self.ports = stream_ports(module)
        self.verilog = to_verilog(module, name)
        self.trace = trace
        shim = _shim(name, self.ports)
        path = build_shared(
            self.verilog,
            name,
            shim,
            objects=[harness_object()],
            optimization=optimization,
            trace=trace,
            # A module with many instances is compiled only once; that more than halves the compile time.
            options=["-fno-inline"] if hasattr(module, "separate_modules") else [],
        )
        self._library = ctypes.CDLL(str(path))
        for function, result, arguments in (
            ("p2vit_open", ctypes.c_void_p, (ctypes.c_char_p,)),
            ("p2vit_model_of", ctypes.c_void_p, (ctypes.c_void_p,)),
            ("p2vit_close", None, (ctypes.c_void_p,)),
            (
                "p2vit_run_streams",
                ctypes.c_uint64,
                (*[ctypes.c_void_p] * 4, ctypes.c_uint64, ctypes.c_uint64),
            ),
        ):
            entry = getattr(self._library, function)
            entry.restype, entry.argtypes = result, list(arguments)

    def port(self, name: str) -> StreamPort:
        """Return a stream by name."""
        return next(port for port in self.ports if port.name == name)

    def run(
        self,
        inputs: Mapping[str, Mapping[str, Any] | Words],
        counts: Mapping[str, int],
        *,
        seed: int = 0,
        stall: float | Mapping[str, float] = 0.0,
        record: int = 0,
        trace: Path | None = None,
    ) -> ModuleRun:
        """Reset the module, send all input beats and receive the output beats.

        Args:
            inputs: Input stream → fields (see :func:`p2vit.hdl.packing.pack`), or packed words.
            counts: Output stream → number of expected beats.
            seed: Random seed of the stalls.
            stall: Probability of a stall per cycle, for all streams or by name; 0 to 0.99.
            record: Number of cycles to record in ``ModuleRun.flags``.
            trace: VCD file to write; the module must be compiled with waveforms.

        Raises:
            RtlError: The module stops before all beats are transferred, or the waveform file cannot be written.
        """
        if trace and not self.trace:
            raise RtlError(f"{self.name} was compiled without waveforms; compile it with trace=True")
        chances = stall if isinstance(stall, Mapping) else {port.name: stall for port in self.ports}
        sides: dict[bool, list[StreamPort]] = {
            side: [port for port in self.ports if port.is_input == side] for side in (True, False)
        }
        buffers: dict[str, NDArray[np.uint8]] = {}
        moved: dict[str, NDArray[np.uint64]] = {}
        beats: dict[bool, Any] = {}
        for side, ports in sides.items():
            beats[side] = (_Beats * max(1, len(ports)))()
            for index, port in enumerate(ports):
                raw = _input_bytes(port, inputs) if side else _output_room(port, counts)
                buffers[port.name] = raw
                moved[port.name] = np.zeros(len(raw), np.uint64)
                chance = min(max(chances.get(port.name, 0.0), 0.0), 0.99)
                beats[side][index] = _Beats(
                    raw.ctypes.data,
                    moved[port.name].ctypes.data,
                    len(raw),
                    seed=seed * 1000 + 2 * index + side + 1,
                    stall=round(chance * 65536),
                )
        flags = np.zeros((record, len(self.ports)), np.uint8)
        recorded = _Record(flags.ctypes.data, record)
        handle = self._library.p2vit_open(str(trace).encode() if trace else None)
        if not handle:
            raise RtlError(f"{trace}: the waveform file cannot be written")
        try:
            cycles = self._library.p2vit_run_streams(
                self._library.p2vit_model_of(handle),
                ctypes.byref(beats[True]),
                ctypes.byref(beats[False]),
                ctypes.byref(recorded) if record else None,
                IDLE_LIMIT,
                EXTRA_CYCLES,
            )
        finally:
            self._library.p2vit_close(handle)
        for side, ports in sides.items():
            for index, port in enumerate(ports):
                done, wanted = beats[side][index].done, beats[side][index].count
                if done != wanted:
                    verb = "took" if side else "gave"
                    raise RtlError(
                        f"{self.name}: stream {port.name!r} {verb} {done} of {wanted} beats, then nothing moved for "
                        f"{IDLE_LIMIT} cycles"
                    )
        outputs = {
            port.name: unpack(port.layout, from_storage(buffers[port.name], port.bits))
            for port in sides[False]
        }
        results = [beats[False][index] for index in range(len(sides[False]))]
        return ModuleRun(
            outputs,
            int(cycles),
            {name: value.astype(np.int64) for name, value in moved.items()},
            sum(int(result.unstable) for result in results),
            sum(int(result.surplus) for result in results),
            flags,
        )


def _input_bytes(port: StreamPort, inputs: Mapping[str, Any]) -> NDArray[np.uint8]:
    if port.name not in inputs:
        raise RtlError(f"nothing is given for the input stream {port.name!r}")
    given = inputs[port.name]
    words = given if isinstance(given, np.ndarray) else pack(port.layout, given)
    return to_storage(words, port.bits)


def _output_room(port: StreamPort, counts: Mapping[str, int]) -> NDArray[np.uint8]:
    if port.name not in counts:
        raise RtlError(f"no number of beats is given for the output stream {port.name!r}")
    return np.zeros((counts[port.name], storage_bytes(port.bits)), np.uint8)


def _shim(top: str, ports: list[StreamPort]) -> str:
    """Make the C++ text that gives the harness pointers to the ports of the model."""
    lines = []
    counts = {True: 0, False: 0}
    for port in ports:
        array = "inputs" if port.is_input else "outputs"
        valid, ready, payload = (f"&top.{port.name}_{part}" for part in ("valid", "ready", "payload"))
        lines.append(
            f"  it->{array}[{counts[port.is_input]}] = {{{valid}, {ready}, (void*){payload}, "
            f"{storage_bytes(port.bits)}}};"
        )
        counts[port.is_input] += 1
    return _SHIM.format(
        harness="harness.h",
        top=top,
        ports="\n".join(lines),
        inputs=counts[True],
        outputs=counts[False],
        input_room=max(1, counts[True]),
        output_room=max(1, counts[False]),
    ).replace('#include "harness.h"', _source("harness.h").replace("#pragma once", ""))
