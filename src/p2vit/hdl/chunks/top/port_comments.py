"""Comments of the ports of the chunk organisation's modules, which are written into the Verilog."""

_COMMON = {
    "clk": "Clock; all ports are synchronous to its rising edge.",
    "rst": "Reset, synchronous, active high.",
}


def comment_of(module: str, port: str) -> str:
    """Return the comment of a port.

    Raises:
        KeyError: The port has no comment. This is a defect.
    """
    return {**_COMMON, **_OF_MODULE[module]}[port]


_OF_MODULE: dict[str, dict[str, str]] = {
    "p2vit_chunk_line": {
        "load_line": "The word that is loaded belongs to this line, one weight per lane.",
        "load_lanes": "Lanes whose next weight is loaded.",
        "load_word": "Word that is loaded.",
        "load_byte": "Byte of the loaded word that belongs to this line.",
        "by_lane": "The word holds one weight per line, for the selected lane.",
        "swap": "The next weights become the current ones.",
        "parameter_planes": "Bytes of the channel's parameters that are loaded.",
        "table_write": "The word is a row of the lookup table.",
        "load_slot": "Slot of the parameters and of the table that is loaded.",
        "table_row": "Row of the lookup table that is loaded.",
        "operand_2": "Operand of a token, one term per lane.",
        "signed_2": "The terms are signed.",
        "log2_2": "The terms are log2 codes of two tokens, which shift the weights.",
        "pairs_2": "Each weight has two halves of two channels.",
        "guard_2": "Guard bits of log2 codes: the weight of code c is 2^(guard - c).",
        "token_3": "Token whose accumulator is read.",
        "valid_4": "The sum of an operand arrives.",
        "first_4": "The sum begins the accumulator.",
        "second_4": "The second accumulator of the group before is put out.",
        "token_4": "Token whose accumulator is written.",
        "slot_5": "Slot of the parameters.",
        "biased_5": "The bias is added.",
        "down_5": "Right shift that reduces the accumulator to 16 bits.",
        "reciprocal_6": "Reciprocal of the token's row sum.",
        "quotient_6": "The reduced accumulator is multiplied by the reciprocal.",
        "slot_7": "Slot of the parameters.",
        "narrow_7": "The result saturates to 8 bits.",
        "raw_7": "The result is not re-quantized.",
        "slot_8": "Slot of the table.",
        "slot_9": "Slot of the parameters.",
        "table_9": "The result is looked up in the table.",
        "add_9": "The number of the residual stream is added.",
        "stream_9": "Number of the residual stream.",
        "slot_10": "Slot of the parameters.",
        "add_10": "The sum is re-quantized.",
        "narrow_10": "The sum saturates to 8 bits.",
        "result": "Result before table and sum, 8 cycles after the issue.",
        "written": "Number that is written, 11 cycles after the issue.",
    },
    "p2vit_chunk_machine": {
        "rst": "Reset, synchronous, active high. No read may be in flight when it ends.",
        "descriptor_valid": "A descriptor is offered.",
        "descriptor_ready": "The descriptor is taken at the next edge.",
        "descriptor_data": "Descriptor of 384 bits; its fields are in docs/reference/rtl-chunks.md.",
        "memory_read_valid": "A read is requested; stays high until it is accepted.",
        "memory_read_ready": "The memory accepts the request.",
        "memory_read_address": "Address of the word, in words.",
        "memory_answer_valid": "A word arrives. Answers keep the order of requests and are always accepted.",
        "memory_answer_data": "Word that was read; byte 0 is in the low bits.",
        "memory_write_valid": "A write is requested; stays high until it is accepted.",
        "memory_write_ready": "The memory accepts the write.",
        "memory_write_address": "Address of the word, in words.",
        "memory_write_data": "Word that is written; byte 0 is in the low bits.",
        "array_busy": "The array takes an operand in this cycle. For statistics only.",
        "done": "END was executed and all results are written. Stays high until the reset.",
        "result_valid": "Trace: a result of the array stands on result_data.",
        "result_data": "Trace: results before table and sum, 32 bits per line.",
        "written_valid": "Trace: the array writes written_data.",
        "written_data": "Trace: numbers that the array writes, 32 bits per line.",
        "norm_valid": "Trace: the LayerNorm chunk writes a word.",
        "norm_data": "Trace: normalised numbers, 16 bits per line.",
        "affine_data": "Trace: normalised numbers after gain and bias, 8 bits per line.",
        "softmax_valid": "Trace: the softmax chunk writes a word.",
        "softmax_data": "Trace: codes, 8 bits per line.",
        "patch_valid": "Trace: a word of a patch is written.",
        "patch_data": "Trace: pixels of a patch minus 128, 8 bits per line.",
    },
}
