"""Compiled model of the accelerator. One call runs one photo and returns the memory with every tensor."""

import ctypes
from dataclasses import dataclass
from importlib import resources

import numpy as np

from p2vit.hdl.compile.compiled import CompiledProgram
from p2vit.hdl.tools.missing import RtlError
from p2vit.hdl.tools.verilator import build_shared
from p2vit.hdl.top.machine import MEMORY_LATENCY, RtlMachine
from p2vit.hdl.top.verilog import TOP, VERILATOR_CONFIG, accelerator_verilog
from p2vit.numerics.rounding import IntArray


@dataclass(frozen=True)
class MemoryBehaviour:
    """Latency and stalls of the external memory.

    Attributes:
        latency: Cycles from a request to its answer, 1 or more.
        read_stall: Share of cycles in which a read request is refused, 0 to 0.99.
        answer_stall: Share of cycles in which a due answer is delayed.
        write_stall: Share of cycles in which a write is refused.
        descriptor_stall: Share of cycles in which no descriptor is offered.
        seed: Random seed of the stalls.
    """

    latency: int = MEMORY_LATENCY
    read_stall: float = 0.0
    answer_stall: float = 0.0
    write_stall: float = 0.0
    descriptor_stall: float = 0.0
    seed: int = 0

    @property
    def stalls(self) -> bool:
        """Whether any stall is possible."""
        return any((self.read_stall, self.answer_stall, self.write_stall, self.descriptor_stall))

    @classmethod
    def random(cls, share: float, latency: int = MEMORY_LATENCY, seed: int = 0) -> "MemoryBehaviour":
        """Make a memory in which all four sides stall in that share of the cycles."""
        return cls(latency, share, share, share, share, seed)


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


class _Counts(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cycles", "array_busy", "vector_busy", "reads", "writes", "descriptors", "bad_address")
    )


@dataclass(frozen=True, eq=False)
class RtlRun:
    """Result of one photo.

    Attributes:
        memory: Memory after the run, uint8 [words, lines].
        cycles: Cycles from the first descriptor to ``done``.
        store_cycles: Cycle at which each store was done, int64 [stores].
        array_busy: Cycles in which the array multiplied.
        vector_busy: Cycles in which the vector engine worked.
        reads: Words read from memory.
        writes: Words written to memory.
    """

    memory: IntArray
    cycles: int
    store_cycles: IntArray
    array_busy: int
    vector_busy: int
    reads: int
    writes: int


class RtlModel:
    """Verilated accelerator of one machine.

    Args:
        machine: Sizes of the accelerator.
        optimization: ``fast`` compiles longer and runs faster, ``quick`` compiles faster.

    Raises:
        MissingPackageError: Amaranth, pyosys or Verilator is not installed.
        RtlError: There is no C++ compiler.
    """

    def __init__(self, machine: RtlMachine, optimization: str = "fast") -> None:
        self.machine = machine
        driver = resources.files("p2vit.hdl.cosim").joinpath("driver.cpp").read_text(encoding="utf-8")
        path = build_shared(
            {**accelerator_verilog(machine), "repeated.vlt": VERILATOR_CONFIG},
            TOP,
            f"#define LINES {machine.lines}\n{driver}",
            optimization=optimization,
        )
        self._run = ctypes.CDLL(str(path)).p2vit_run
        self._run.restype = ctypes.c_int

    def run(
        self,
        compiled: CompiledProgram,
        pixels: IntArray,
        behaviour: MemoryBehaviour | None = None,
        max_cycles: int = 1 << 40,
    ) -> RtlRun:
        """Run one photo from reset.

        Args:
            compiled: Program, compiled for this machine.
            pixels: Photo, uint8 [H, W, 3].
            behaviour: Latency and stalls of the memory; None means no stalls.
            max_cycles: The run is stopped after this many cycles.

        Raises:
            RtlError: The run did not end within ``max_cycles``, or it used an address outside the memory. Both are
                defects of the compiler or the RTL.
        """
        behaviour = behaviour or MemoryBehaviour()
        memory = compiled.memory_for(pixels)
        stream = np.frombuffer(compiled.stream, np.uint8)
        stores = np.zeros(len(compiled.stores), np.uint64)
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
            stores.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(len(stores)),
            ctypes.byref(counts),
        )
        if status:
            done = int(np.count_nonzero(stores))
            where = compiled.stores[done] if done < len(stores) else "the end"
            what = (
                f"did not end within {max_cycles} cycles"
                if status == 1
                else f"asked for word {counts.bad_address} of {len(memory)}"
            )
            raise RtlError(
                f"the RTL {what}; {done} of {len(stores)} stores were done, the next belongs to {where}. "
                "This is a defect of p2vit"
            )
        return RtlRun(
            memory,
            int(counts.cycles),
            stores.astype(np.int64),
            int(counts.array_busy),
            int(counts.vector_busy),
            int(counts.reads),
            int(counts.writes),
        )
