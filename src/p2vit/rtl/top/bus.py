"""Signatures that engines share: the external memory, the bus of loaded words, the head of a descriptor queue."""

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
