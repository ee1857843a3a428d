"""Signatures that engines share: the memory interface, the bus of loaded words, buffer readers, and instances."""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.rtl.top.descriptor import DESCRIPTOR_BITS, Dest
from p2vit.rtl.top.machine import RtlMachine

#: Buffers that are filled by loads and read by an engine.
SLOTTED = (Dest.ROWS, Dest.WEIGHTS, Dest.COLUMN_PARAMETERS, Dest.VECTOR, Dest.VECTOR_PARAMETERS, Dest.TABLE)


def memory_signature(machine: RtlMachine) -> wiring.Signature:
    """External memory, seen from the accelerator. Addresses are words of ``lines`` bytes.

    A read request is taken where ``read_valid`` and ``read_ready``; its answer comes later, in order, with
    ``answer_valid``, and is always taken: nothing is asked for that has no room. A write is done where
    ``write_valid`` and ``write_ready``.
    """
    return wiring.Signature(
        {
            "read_valid": Out(1),
            "read_ready": In(1),
            "read_address": Out(32),
            "answer_valid": In(1),
            "answer_data": In(8 * machine.lines),
            "write_valid": Out(1),
            "write_ready": In(1),
            "write_address": Out(32),
            "write_data": Out(8 * machine.lines),
        }
    )


def loaded_signature(machine: RtlMachine) -> wiring.Signature:
    """One loaded word with its place: ``row`` and ``part`` count as the destination needs it."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "dest": Out(3),
            "slot": Out(1),
            "row": Out(16),
            "part": Out(8),
            "nibbles": Out(1),
            "data": Out(8 * machine.lines),
        }
    )


def queue_signature() -> wiring.Signature:
    """Head of a descriptor queue, seen from the queue."""
    return wiring.Signature({"valid": Out(1), "ready": In(1), "word": Out(DESCRIPTOR_BITS)})


def output_signature(machine: RtlMachine) -> wiring.Signature:
    """An output buffer, seen from the store engine: a cycle from address to data, which stands without ``enable``."""
    return wiring.Signature(
        {
            "enable": Out(1),
            "slot": Out(1),
            "column": Out(16),
            "plane": Out(2),
            "data": In(8 * machine.lines),
        }
    )


def place(slot: Value, row: Value, depth: int) -> Value:
    """Address of a row in one of two slots that lie behind each other."""
    return Mux(slot, row + depth, row)


def instance(
    members: dict[str, wiring.Member], module_name: str, *, clock: Signal | None = None, **connections: Any
) -> Instance:
    """Use a component as a Verilog module of its own, so that each kind of module is written once.

    Args:
        members: Its ports.
        module_name: Its Verilog name.
        clock: Its clock, if not this module's.
        connections: Port → value or signal; every port.
    """
    ports: dict[str, Any] = {"i_clk": ClockSignal() if clock is None else clock, "i_rst": ResetSignal()}
    assert set(members) == set(connections), set(members) ^ set(connections)
    for name, member in members.items():
        ports[f"{'i' if member.flow == In else 'o'}_{name}"] = connections[name]
    return Instance(module_name, **ports)


def counter(m: Module, initial: int, give: Value, take: Value, name: str) -> Signal:
    """A counter of free or full slots: ``give`` adds one, ``take`` removes one, in the same cycle too."""
    count = Signal(2, init=initial, name=name)
    m.d.sync += count.eq(count + give - take)
    return count


def delayed(m: Module, value: Signal, cycles: int, name: str) -> Signal:
    """A signal some cycles later."""
    for step in range(cycles):
        following = Signal(value.shape(), name=f"{name}_{step}")
        m.d.sync += following.eq(value)
        value = following
    return value
