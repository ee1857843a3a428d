"""Cycles of one matrix product on one array, in closed form.

The systolic forms reproduce the compute cycles of SCALE-Sim 3.0 (no prefetch), which models the simplest
array: each fold loads its weights, streams and drains before the next begins. They are kept as regression
anchors and as counter-designs; the accelerator itself is row-stationary.
"""


def folds(size: int, tile: int) -> int:
    """Tiles that cover ``size``."""
    return -(-size // tile)


def weight_stationary_cycles(rows: int, cols: int, inner: int, array_rows: int, array_cols: int) -> int:
    """Cycles of (rows × inner) · (inner × cols) on a weight-stationary systolic array.

    Each of ceil(K/R)·ceil(N/C) folds loads R rows of weights, streams M activations and drains: M + 2R + C −
    2 cycles.

    Returns:
        Cycles, counted from 0 as SCALE-Sim does.
    """
    per_fold = rows + 2 * array_rows + array_cols - 2
    return folds(inner, array_rows) * folds(cols, array_cols) * per_fold - 1


def output_stationary_cycles(rows: int, cols: int, inner: int, array_rows: int, array_cols: int) -> int:
    """Cycles of (rows × inner) · (inner × cols) on an output-stationary systolic array.

    Each of ceil(M/R)·ceil(N/C) folds streams K terms through the skewed array: K + R + C − 2 cycles.

    Returns:
        Cycles, counted from 0 as SCALE-Sim does.
    """
    per_fold = inner + array_rows + array_cols - 2
    return folds(rows, array_rows) * folds(cols, array_cols) * per_fold - 1


def row_stationary_cycles(rows: int, cols: int, inner: int, lines: int, lanes: int) -> int:
    """Cycles of (rows × inner) · (inner × cols) on ``lines`` dot-product lines of ``lanes`` terms.

    A group of ``lines`` rows stays while the columns stream past: ceil(K/lanes) cycles per column, no skew,
    because the weight is broadcast to all lines. Pipeline fill is the caller's: it is paid once per
    dependency, not per fold.
    """
    return folds(rows, lines) * cols * folds(inner, lanes)
