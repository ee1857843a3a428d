"""Compiled model of the chunk organisation. One call runs one photo and returns every traced word."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from p2vit.hdl.chunks.compile.compiled import CompiledChunks, Stream
from p2vit.hdl.chunks.machine import ChunkMachine
from p2vit.hdl.chunks.top.verilog import TOP, VERILATOR_CONFIG, chunk_verilog
from p2vit.hdl.cosim.model import MemoryBehaviour
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.verilator import build_shared
from p2vit.numerics.rounding import IntArray

#: Trace → type of its numbers, in the order of the driver.
TRACES: dict[Stream, str] = {
    "result": "<i4", "written": "<i4", "norm": "<i2", "affine": "i1", "softmax": "u1", "patch": "i1",
}  # fmt: skip


class _Options(ctypes.Structure):
    _fields_ = (
        ("max_cycles", ctypes.c_uint64),
        ("latency", ctypes.c_uint32),
        ("read_stall", ctypes.c_uint32),
        ("answer_stall", ctypes.c_uint32),
        ("write_stall", ctypes.c_uint32),
        ("descriptor_stall", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
    )


class _Trace(ctypes.Structure):
    _fields_ = (
        ("words", ctypes.c_void_p),
        ("cycles", ctypes.c_void_p),
        ("most", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
    )


class _Counts(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cycles", "array_busy", "reads", "writes", "descriptors", "bad_address")
    )


@dataclass(frozen=True, eq=False)
class ChunkRun:
    """Result of one photo.

    Attributes:
        traces: Trace → integers [words, lines].
        trace_cycles: Trace → cycle of each word, int64 [words].
        logits: Accumulators that were written to the external memory, int32 [groups · lines].
        cycles: Cycles from the first descriptor to ``done``.
        array_busy: Cycles in which the array took an operand.
        reads: Words read from the external memory.
        writes: Words written to the external memory.
    """

    traces: Mapping[Stream, IntArray]
    trace_cycles: Mapping[Stream, IntArray]
    logits: IntArray
    cycles: int
    array_busy: int
    reads: int
    writes: int


class ChunkModel:
    """Verilated chunk organisation of one machine.

    Args:
        machine: Sizes of the machine.
        optimization: ``fast`` compiles longer and runs faster, ``quick`` compiles faster.

    Raises:
        MissingPackageError: Amaranth, pyosys or Verilator is not installed.
        RtlError: There is no C++ compiler.
    """

    def __init__(self, machine: ChunkMachine, optimization: str = "fast") -> None:
        self.machine = machine
        driver = resources.files("p2vit.hdl.chunks.cosim").joinpath("driver.cpp").read_text(encoding="utf-8")
        path = build_shared(
            {**chunk_verilog(machine), "repeated.vlt": VERILATOR_CONFIG},
            TOP,
            f"#define LINES {machine.lines}\n{driver}",
            optimization=optimization,
        )
        self._run = ctypes.CDLL(str(path)).p2vit_run
        self._run.restype = ctypes.c_int

    def run(
        self,
        compiled: CompiledChunks,
        pixels: IntArray,
        behaviour: MemoryBehaviour | None = None,
        max_cycles: int = 1 << 40,
    ) -> ChunkRun:
        """Run one photo from reset.

        Args:
            compiled: Program, compiled for this machine.
            pixels: Photo, uint8 [H, W, 3].
            behaviour: Latency and stalls of the memory; None means no stalls.
            max_cycles: The run is stopped after this many cycles.

        Raises:
            RtlError: The run did not end within ``max_cycles``, used an address outside the memory, or wrote another
                number of words. All are defects of the compiler or the RTL.
        """
        behaviour = behaviour or MemoryBehaviour()
        memory, lines = compiled.memory_for(pixels), self.machine.lines
        stream = np.frombuffer(compiled.stream, np.uint8)
        words = {name: np.zeros((compiled.beats(name), lines), kind) for name, kind in TRACES.items()}
        cycles = {name: np.zeros(len(held), np.uint64) for name, held in words.items()}
        records = (_Trace * len(TRACES))(
            *(
                _Trace(words[name].ctypes.data, cycles[name].ctypes.data, len(words[name]), 0)
                for name in TRACES
            )
        )
        stalls = (
            min(1023, int(1024 * share))
            for share in (
                behaviour.read_stall,
                behaviour.answer_stall,
                behaviour.write_stall,
                behaviour.descriptor_stall,
            )
        )
        options = _Options(max_cycles, max(1, behaviour.latency), *stalls, behaviour.seed)
        counts = _Counts()
        status = self._run(
            memory.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(len(memory)),
            stream.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(len(compiled.descriptors)),
            ctypes.byref(options),
            records,
            ctypes.byref(counts),
        )
        done = {name: int(record.count) for name, record in zip(TRACES, records, strict=True)}
        wanted = {name: len(held) for name, held in words.items()}
        if status or done != wanted:
            what = {
                0: "wrote another number of words than the program has",
                1: f"did not end within {max_cycles} cycles",
                2: f"asked for word {counts.bad_address} of {len(memory)}",
            }[status]
            raise RtlError(
                f"the RTL {what}; words by trace: {done}, expected {wanted}. This is a defect of p2vit"
            )
        groups = self.groups(compiled)
        planes = memory[compiled.logits : compiled.logits + 4 * groups].reshape(groups, 4, lines)
        logits = np.ascontiguousarray(planes.swapaxes(1, 2)).view("<i4").reshape(-1)
        return ChunkRun(
            words,
            {name: held.astype(np.int64) for name, held in cycles.items()},
            logits,
            int(counts.cycles),
            int(counts.array_busy),
            int(counts.reads),
            int(counts.writes),
        )

    def groups(self, compiled: CompiledChunks) -> int:
        """Return the number of groups of logits."""
        return -(-compiled.program.tensors[compiled.program.output].shape[-1] // self.machine.lines)
