"""Formats of the data that load–store machines move, shared by the model and the generated accelerator."""

#: Bytes of the parameters of one column: bias 32 bits, gain 16, shift 6, two left shifts of 4, 2 unused.
COLUMN_PARAMETER_BYTES = 8
#: Words of the parameters of all lines: 4 bytes of bias or row sum, and a shift.
LINE_PARAMETER_WORDS = 5
#: Bytes of the row sum that follows the codes of a softmax.
SUM_BYTES = 4
#: Entries of a lookup table.
TABLE_WORDS = 256
