"""Signatures that engines share: external memory, bus of loaded words, descriptor queue."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from p2vit.hdl.top.descriptor import DESCRIPTOR_BITS, Dest
from p2vit.hdl.top.machine import RtlMachine

#: Buffers with slots, which loads fill and engines read.
SLOTTED = (Dest.ROWS, Dest.WEIGHTS, Dest.COLUMN_PARAMETERS, Dest.VECTOR, Dest.VECTOR_PARAMETERS, Dest.TABLE)


def memory_signature(machine: RtlMachine) -> wiring.Signature:
    """Return the signature of the external memory, seen from the accelerator.

    Addresses count words of ``lines`` bytes.

    A read request is accepted in a cycle with ``read_valid`` and ``read_ready``. Answers come later, in order, with
    ``answer_valid``. They are always accepted, because the accelerator requests only words that it has space for. A
    write is done in a cycle with ``write_valid`` and ``write_ready``.
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
    """Return the signature of the bus of loaded words. The destination defines the meaning of ``row`` and ``part``."""
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
    """Return the signature of the output of a descriptor queue, seen from the queue."""
    return wiring.Signature({"valid": Out(1), "ready": In(1), "word": Out(DESCRIPTOR_BITS)})
