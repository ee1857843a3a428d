"""Closed-form cycles of one matrix product on one array.

The systolic forms reproduce the compute cycles of SCALE-Sim 3.0 (no prefetch): each fold loads its weights, streams
its activations and drains before the next fold begins. They serve as regression tests and as counter-designs. The
accelerator itself is row-stationary.
"""


def folds(size: int, tile: int) -> int:
    """Return the number of tiles of size ``tile`` that cover ``size``: ⌈size / tile⌉."""
    return -(-size // tile)


def weight_stationary_cycles(rows: int, cols: int, inner: int, array_rows: int, array_cols: int) -> int:
    """Compute the cycles of (rows × inner) · (inner × cols) on a weight-stationary systolic array.

    Each of the ⌈K/R⌉ · ⌈N/C⌉ folds loads R rows of weights, streams M activations and drains: M + 2R + C − 2 cycles.

    Returns:
        Cycles, counted from 0 as SCALE-Sim does.
    """
    per_fold = rows + 2 * array_rows + array_cols - 2
    return folds(inner, array_rows) * folds(cols, array_cols) * per_fold - 1


def output_stationary_cycles(rows: int, cols: int, inner: int, array_rows: int, array_cols: int) -> int:
    """Compute the cycles of (rows × inner) · (inner × cols) on an output-stationary systolic array.

    Each of the ⌈M/R⌉ · ⌈N/C⌉ folds streams K terms through the skewed array: K + R + C − 2 cycles.

    Returns:
        Cycles, counted from 0 as SCALE-Sim does.
    """
    per_fold = inner + array_rows + array_cols - 2
    return folds(rows, array_rows) * folds(cols, array_cols) * per_fold - 1


def row_stationary_cycles(rows: int, cols: int, inner: int, lines: int, lanes: int) -> int:
    """Compute the cycles of (rows × inner) · (inner × cols) on ``lines`` dot-product lines of ``lanes`` terms.

    A group of ``lines`` rows is stationary while the columns stream past, ⌈K/lanes⌉ cycles per column. There is no
    skew, because each weight is broadcast to all lines. Pipeline fill is not included: it occurs once per dependency,
    not once per row group.
    """
    return folds(rows, lines) * cols * folds(inner, lanes)
