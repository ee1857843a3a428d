"""Comments of the ports of the accelerator's modules, which are written into the Verilog."""

_COMMON = {
    "clk": "Clock; all ports are synchronous to its rising edge.",
    "rst": "Reset, synchronous, active high.",
    # Descriptors, buffers and slots, seen from an engine.
    "queue_valid": "A descriptor waits at the head of the engine's queue.",
    "queue_ready": "The engine takes the descriptor.",
    "queue_word": "Descriptor at the head of the queue; its fields are in docs/reference/rtl-interface.md.",
    "loaded_valid": "A loaded word arrives for a buffer.",
    "loaded_dest": "Destination: 0 rows, 1 weights, 2 column parameters, 3 vector, 4 vector parameters, 5 table, "
    "6 reciprocal roots, 7 line parameters.",
    "loaded_slot": "Slot of the buffer that the word is written to.",
    "loaded_row": "Row of the slot: chunk, column or table entry, by destination.",
    "loaded_part": "Part of the row: term of a chunk, byte plane or word of the parameters, by destination.",
    "loaded_nibbles": "Every byte holds two 4-bit terms, the first in the low half.",
    "loaded_data": "Loaded word, one byte per line.",
    "output_enable": "Read of the output buffer; the data comes a cycle later and stands while this is low.",
    "output_slot": "Slot of the output buffer that is read.",
    "output_column": "Column that is read.",
    "output_plane": "Byte plane that is read; 0 is the low byte.",
    "output_data": "Byte plane of the column, one byte per line.",
    "rows_full": "A slot of the row buffers is full.",
    "rows_take": "A run starts to use a full slot of the row buffers.",
    "rows_release": "The slot of the row buffers is free again.",
    "weights_full": "A slot of the weight buffers is full.",
    "weights_take": "A run starts to use a full slot of the weight buffers.",
    "weights_release": "The slot of the weight buffers is free again.",
    "parameters_full": "A slot of the column parameters is full.",
    "parameters_take": "A run starts to use a full slot of the column parameters.",
    "parameters_release": "The slot of the column parameters is free again.",
    "numbers_full": "A slot of the vector buffers is full.",
    "numbers_take": "A run starts to use a full slot of the vector buffers.",
    "numbers_release": "The slot of the vector buffers is free again.",
    "results_free": "A slot of the output buffers is free.",
    "results_take": "A run starts to fill a free slot of the output buffers.",
    "results_finish": "The slot of the output buffers is full.",
    "release_table": "The lookup tables may be overwritten.",
    "busy": "High in the cycles that array_busy or vector_busy of the accelerator shows.",
    "stores_done": "Number of stores since the reset whose last word the memory has accepted.",
    # Load of a buffer, seen from a line, a lane or a weight bank.
    "load_slot": "Slot that is written.",
    "load_row": "Row of the slot that is written.",
    # Parameters of a run.
    "slot": "Slot that the run reads.",
    "valid": "The operands of this cycle count.",
    "planes": "Bytes of an output number: 1 saturates to 8 bits, 2 to 16 bits; 4 writes the accumulator.",
    "log2": "Softmax codes are log2 codes.",
    "guard": "Guard bits of log2 codes: the weight of code c is 2^(guard - c).",
    # Output buffer of a line or a lane.
    "write": "The result is written to the output buffer.",
    "write_slot": "Slot of the output buffer that is written.",
    "write_column": "Column that is written.",
    "output_read": "Read of the output buffer; the byte comes a cycle later and stands while this is low.",
    "output_byte": "Byte plane of the column.",
}

_OF_MODULE = {
    "p2vit_accelerator": {
        "rst": "Reset, synchronous, active high. Answers to earlier reads are dropped, see cold_rst.",
        "cold_rst": "High together with rst at power-on: no read is in flight, so no answer is dropped.",
        "descriptor_valid": "A descriptor is offered.",
        "descriptor_ready": "The descriptor is taken at the next edge. Depends on registers and rst only.",
        "descriptor_data": "Descriptor of 256 bits; its fields are in docs/reference/rtl-interface.md.",
        "memory_read_valid": "A read is requested; stays high until it is accepted.",
        "memory_read_ready": "The memory accepts the request.",
        "memory_read_address": "Address of the word, in words.",
        "memory_answer_valid": "A word arrives. Answers keep the order of requests and are always accepted.",
        "memory_answer_data": "Word that was read; byte 0 is in the low bits.",
        "memory_write_valid": "A write is requested; stays high until it is accepted.",
        "memory_write_ready": "The memory accepts the write; later reads must see it.",
        "memory_write_address": "Address of the word, in words.",
        "memory_write_data": "Word that is written; byte 0 is in the low bits.",
        "array_busy": "The array multiplies in this cycle. For statistics only.",
        "vector_busy": "The vector engine executes a descriptor in this cycle. For statistics only.",
        "done": "END was executed and all stores are done. Stays high until the reset.",
    },
    "p2vit_load_engine": {
        "read_valid": "A read is requested.",
        "read_ready": "The request is accepted.",
        "read_address": "Address of the word, in words.",
        "answer_valid": "A word arrives.",
        "answer_data": "Word that was read.",
        "slots_free": "For each destination: a slot of its buffer is free.",
        "slots_open": "For each destination: a load starts to fill a slot.",
        "slots_close": "For each destination: the slot is full.",
        "done": "END was executed.",
    },
    "p2vit_store_engine": {
        **{
            f"{port}_{index}_{name}": f"{text.rstrip('.')} (output of the {source}).".replace("engine's ", "")
            for index, source in enumerate(("array", "vector engine"))
            for port, name, text in (
                ("buffers", "enable", "Read of the output buffer; the data comes a cycle later"),
                ("buffers", "slot", "Slot that is read"),
                ("buffers", "column", "Column that is read"),
                ("buffers", "plane", "Byte plane that is read; 0 is the low byte"),
                ("buffers", "data", "Byte plane of the column, one byte per line"),
                ("slots", "full", "A slot of the output buffer is full"),
                ("slots", "take", "A store starts to use the slot"),
                ("slots", "release", "The slot is free again"),
            )
        },
        "write_valid": "A write is requested.",
        "write_ready": "The memory accepts the write.",
        "write_address": "Address of the word, in words.",
        "write_data": "Word that is written.",
    },
    "p2vit_weight_bank": {
        "load": "A word is written to the bank.",
        "load_word": "One term of as many columns as there are lines.",
        "fetch": "A row is read; its columns are selected from the next cycle on.",
        "row": "Row that is read.",
        "column": "Column of the row that is selected.",
        "enabled": "The lane has a term; otherwise its weight is 0.",
        "weight": "Weight of the selected column, a cycle after the selection.",
    },
    "p2vit_line": {
        "load_enable": "For each lane: its term of the row is written.",
        "load_low": "Term of an even lane; with nibbles, the low one.",
        "load_high": "Term of an odd lane; with nibbles, the high one.",
        "parameter_write": "A byte of the line's parameters arrives in load_low.",
        "parameter_index": "0 to 3: byte of the bias or of the row sum, low byte first; 4: shift.",
        "fetch": "A chunk of the row is read.",
        "chunk": "Chunk that is read.",
        "weights": "Weights of one column, one byte per lane.",
        "signed_rows": "The terms of the row are signed.",
        "first": "The accumulator of the column begins with this chunk.",
        "column": "Accumulator of the group that is updated.",
        "mode": "0 bias and shift per column, 1 per line, 2 division by the row sum, 3 neither.",
        "column_bias": "Bias of the column.",
        "column_shift": "Right shift of the column; negative shifts left.",
        "divide": "The reciprocal of the row sum begins.",
        "pairs": "Weights are pairs of 4-bit weights: a step takes two columns and puts out two results.",
        "second_bias": "Bias of the odd column of a pair.",
        "second_shift": "Right shift of the odd column of a pair; negative shifts left.",
    },
    "p2vit_vector_lane": {
        "load_enable": "For each byte of a number: it is written to the input buffer.",
        "load_byte": "Byte that is written.",
        "table_enable": "A table entry is written at load_row.",
        "table_byte": "Table entry.",
        "read": "A number is read; it comes in the next cycle, together with its parameters.",
        "column": "Column that is read.",
        "parameters": "Parameters of the column: bias [31:0], gain [47:32], shift [53:48], left shifts [57:54] and "
        "[61:58].",
        "in_range": "The lane has a token; otherwise its number is 0.",
        "group": "Lookup table of the column.",
        "clear": "A run starts: sums, minimum and maximum begin.",
        "phase": "Number of the pass.",
        "op": "0 copy, 1 lookup, 2 add, 3 affine, 4 LayerNorm, 5 softmax, 6 sum over tokens.",
        "channels": "Columns of the run: channels of a LayerNorm.",
        "limit": "LayerNorm: largest aligned number.",
        "epsilon": "LayerNorm: integer epsilon.",
        "epsilon_shift": "LayerNorm: shift of epsilon.",
        "squares_shift": "LayerNorm: right shift before numbers are squared.",
        "softmax_shift": "Softmax: right shift of the distance from the maximum.",
        "flip": "Copy: the top bit is inverted, which subtracts 128.",
        "narrow_a": "The first operand has 8 bits.",
        "narrow_b": "The second operand has 8 bits.",
        "step_most": "LayerNorm: the maximum is centred.",
        "step_least": "LayerNorm: the minimum is centred.",
        "step_shift": "LayerNorm: the common shift is computed.",
        "step_total": "LayerNorm: epsilon is added to the sum of squares.",
        "step_exponent": "LayerNorm: the exponent of the root is computed.",
        "step_index": "LayerNorm: the index into the table of reciprocal roots is computed.",
        "factor_write": "The reciprocal root of this lane arrives.",
        "factor": "Reciprocal root.",
        "aligned": "Aligned number, for the sum over tokens.",
        "index": "Index into the table of reciprocal roots.",
        "column_sum": "Sum of the column over the tokens, rounded.",
        "sum_byte": "Byte of the softmax row sum that is written.",
        "sum_valid": "A byte of the softmax row sum is written in place of a result.",
    },
}


def comment_of(module: str, port: str) -> str:
    """Return the comment of a port.

    Args:
        module: Name of the Verilog module.
        port: Name of the port in Verilog.

    Raises:
        KeyError: The port has no comment.
    """
    return _OF_MODULE.get(module, {}).get(port) or _COMMON[port]
