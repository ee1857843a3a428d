"""Buffers that several engines have: column parameters, and results for the store engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.accel.load_store.formats import COLUMN_PARAMETER_BYTES
from p2vit.hdl.top.bus import loaded_signature, queue_signature
from p2vit.hdl.top.descriptor import Dest
from p2vit.hdl.top.machine import RtlMachine
from p2vit.hdl.top.primitives import RamPorts, ram
from p2vit.hdl.top.slots import SlotWriter, reader_signature, writer_signature


def slot_address(slot: Value, row: Value, depth: int) -> Value:
    """Return the address of a row in one of two slots of ``depth`` rows each."""
    return Mux(slot, row + depth, row)


def column_parameters(
    m: Module,
    machine: RtlMachine,
    loaded: wiring.PureInterface,
    dest: Dest,
    depth: int,
    *,
    slot: Value,
    column: Value,
    enable: Value,
) -> Signal:
    """Add a buffer of column parameters, which loads fill. Latency: one cycle from the column to its parameters.

    Args:
        m: Module of the engine.
        machine: Sizes of the accelerator.
        loaded: Bus of loaded words.
        dest: Destination of the words that belong to this buffer.
        depth: Columns per slot.
        slot: Slot to read.
        column: Column to read.
        enable: While it is low, the output keeps its value.
    """
    width = min(8 * machine.lines, 8 * COLUMN_PARAMETER_BYTES)
    parts = [
        ram(
            m,
            f"parameters_{part}",
            width,
            2 * depth,
            RamPorts(
                write_enable=loaded.valid & (loaded.dest == dest) & (loaded.part == part),
                write_address=slot_address(loaded.slot, loaded.row, depth),
                write_data=loaded.data[:width],
                read_enable=enable,
                read_address=slot_address(slot, column, depth),
            ),
        )
        for part in range(machine.parameter_words)
    ]
    found = Signal(8 * COLUMN_PARAMETER_BYTES, name="column_parameter")
    m.d.comb += found.eq(Cat(*parts))
    return found


def pair_parameters(
    m: Module,
    machine: RtlMachine,
    loaded: wiring.PureInterface,
    *,
    slot: Value,
    index: Value,
    pairs: Value,
    enable: Value,
) -> tuple[Signal, Signal]:
    """Add a buffer of column parameters in two banks, of even and of odd columns. Latency: one cycle.

    Args:
        m: Module of the array engine.
        machine: Sizes of the accelerator.
        loaded: Bus of loaded words.
        slot: Slot to read.
        index: Column to read, or with ``pairs`` the pair of columns.
        pairs: Whether both columns of a pair are read.
        enable: While it is low, the output keeps its value.

    Returns:
        Parameters of the column, or of the even one; parameters of the odd one.
    """
    width = min(8 * machine.lines, 8 * COLUMN_PARAMETER_BYTES)
    depth = -(-machine.columns // 2)
    found = []
    for bank, name in enumerate(("even", "odd")):
        parts = [
            ram(
                m,
                f"{name}_parameters_{part}",
                width,
                2 * depth,
                RamPorts(
                    write_enable=loaded.valid
                    & (loaded.dest == Dest.COLUMN_PARAMETERS)
                    & (loaded.part == part)
                    & (loaded.row[0] == bank),
                    write_address=slot_address(loaded.slot, loaded.row[1:], depth),
                    write_data=loaded.data[:width],
                    read_enable=enable,
                    read_address=slot_address(slot, Mux(pairs, index, index[1:]), depth),
                ),
            )
            for part in range(machine.parameter_words)
        ]
        found.append(Cat(*parts)[: 8 * COLUMN_PARAMETER_BYTES])
    first, second, odd = (
        Signal(8 * COLUMN_PARAMETER_BYTES, name=f"{name}_parameter") for name in ("first", "second", "odd")
    )
    is_odd = Signal(name="odd_column")
    with m.If(enable):
        m.d.sync += is_odd.eq(index[0] & ~pairs)
    m.d.comb += [odd.eq(found[1]), first.eq(Mux(is_odd, odd, found[0])), second.eq(odd)]
    return first, second


def output_signature(machine: RtlMachine) -> wiring.Signature:
    """Return the signature of an output buffer, seen from the store engine.

    Latency: one cycle from address to data. While ``enable`` is low, the data keeps its value.
    """
    return wiring.Signature(
        {
            "enable": Out(1),
            "slot": Out(1),
            "column": Out(16),
            "plane": Out(2),
            "data": In(8 * machine.lines),
        }
    )


def engine_ports(
    machine: RtlMachine, readers: tuple[str, ...], **more: wiring.Member
) -> dict[str, wiring.Member]:
    """Return the ports of an engine: descriptors, loaded words, output buffer, and handshakes of the buffer slots.

    Args:
        machine: Sizes of the accelerator.
        readers: Names of the buffers that the engine reads.
        more: Further ports.
    """
    return {
        "queue": In(queue_signature()),
        "loaded": In(loaded_signature(machine)),
        "output": In(output_signature(machine)),
        **{name: Out(reader_signature()) for name in readers},
        "results": Out(writer_signature()),
        **more,
        "busy": Out(1),
    }


def output_ports() -> dict[str, wiring.Member]:
    """Return the ports of the output buffer of one line or lane: the engine writes, the store engine reads."""
    return {
        "write": In(1),
        "write_slot": In(1),
        "write_column": In(16),
        "output_read": In(1),
        "output_slot": In(1),
        "output_column": In(16),
        "output_plane": In(2),
        "output_byte": Out(8),
    }


def output_buffer(m: Module, owner: Any, width: int, depth: int, data: Value) -> None:
    """Add the output buffer of one line or lane and connect it to the ports of :func:`output_ports`.

    Args:
        m: Module of the line or lane.
        owner: Line or lane that has the ports.
        width: Width of a result in bits.
        depth: Columns per slot.
        data: Result that is written.
    """
    stored = ram(
        m,
        "output_buffer",
        width,
        2 * depth,
        RamPorts(
            write_enable=owner.write,
            write_address=slot_address(owner.write_slot, owner.write_column, depth),
            write_data=data,
            read_enable=owner.output_read,
            read_address=slot_address(owner.output_slot, owner.output_column, depth),
        ),
    )
    plane = Signal(range(width // 8))
    with m.If(owner.output_read):
        m.d.sync += plane.eq(owner.output_plane)
    m.d.comb += owner.output_byte.eq(stored.word_select(plane, 8))


def paired_output_buffer(
    m: Module, owner: Any, width: int, depth: int, data: Value, second: Value, pairs: Value
) -> None:
    """Add the output buffer of a line that can write two columns per cycle, in two banks.

    Args:
        m: Module of the line.
        owner: Line that has the ports of :func:`output_ports`.
        width: Width of a result in bits.
        depth: Columns per slot.
        data: Result of the column, or with ``pairs`` of the even one.
        second: With ``pairs``, result of the odd column.
        pairs: Whether ``write_column`` counts pairs, of which both columns are written.
    """
    half = -(-depth // 2)
    row, column = Mux(pairs, owner.write_column, owner.write_column[1:]), owner.output_column
    stored = [
        ram(
            m,
            f"{name}_output_buffer",
            width,
            2 * half,
            RamPorts(
                write_enable=owner.write & (pairs | (owner.write_column[0] == bank)),
                write_address=slot_address(owner.write_slot, row, half),
                write_data=Mux(pairs, second, data) if bank else data,
                read_enable=owner.output_read,
                read_address=slot_address(owner.output_slot, column[1:], half),
            ),
        )
        for bank, name in enumerate(("even", "odd"))
    ]
    plane, odd = Signal(range(width // 8)), Signal()
    with m.If(owner.output_read):
        m.d.sync += [plane.eq(owner.output_plane), odd.eq(column[0])]
    m.d.comb += owner.output_byte.eq(Mux(odd, stored[1], stored[0]).word_select(plane, 8))


def output_connections(
    m: Module, output: wiring.PureInterface, writer: SlotWriter, write: Value, line: int
) -> dict[str, Any]:
    """Return the connections of an engine to the output-buffer ports of one line.

    Args:
        m: Module of the engine.
        output: Whole output buffer, seen from the store engine.
        writer: Slot writer of the engine.
        write: High in cycles in which a word is written.
        line: Number of the line.
    """
    byte = Signal(8, name=f"output_{line}")
    m.d.comb += output.data.word_select(line, 8).eq(byte)
    return {
        "write": write,
        "write_slot": writer.slot,
        "write_column": writer.column,
        "output_read": output.enable,
        "output_slot": output.slot,
        "output_column": output.column,
        "output_plane": output.plane,
        "output_byte": byte,
    }
