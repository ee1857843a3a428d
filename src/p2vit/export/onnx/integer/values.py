"""A program tensor in the forms that ONNX operators need. Each form is computed at its first use."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.program.graph import TensorSpec

#: Zero point of the biased form of an int8 tensor.
ZERO_POINT = 128


class Value:
    """A program tensor inside an ONNX graph.

    All forms represent the same numbers exactly:

    * ``stored``: the dtype of the program (int8, uint8, int16 or int32); graph outputs have this form.
    * ``wide``: int32, for arithmetic.
    * ``lifted``: int32 = int8 + 128; the result of a rounding shift, and the index of a table.
    * ``biased``: uint8 = int8 + 128, for matrix products; equal to ``stored`` for an unsigned tensor.

    Attributes:
        spec: The program's tensor.
    """

    def __init__(self, graph: OnnxGraph, spec: TensorSpec, **forms: str) -> None:
        self._graph = graph
        self.spec = spec
        self._forms = forms
        if spec.dtype in (np.int32, np.uint8):
            same = "wide" if spec.dtype == np.int32 else "biased"
            known = forms.get(same) or forms.get("stored")
            if known:
                self._forms |= {same: known, "stored": known}

    @property
    def zero_point(self) -> int:
        """Zero point of the biased form: 128 for signed tensors, 0 for unsigned ones."""
        return ZERO_POINT if self.spec.signed else 0

    @property
    def cheapest(self) -> str:
        """A form that exists already, for operators that only move data."""
        return next(form for form in ("biased", "wide", "lifted", "stored") if form in self._forms)

    def form(self, name: str) -> str:
        """Return the ONNX tensor of the form ``stored``, ``wide``, ``lifted`` or ``biased``."""
        if name not in self._forms:
            with self._graph.scope(self.spec.name):
                self._forms[name] = getattr(self, f"_make_{name}")()
        return self._forms[name]

    @property
    def stored(self) -> str:
        """ONNX tensor in the dtype of the program."""
        return self.form("stored")

    @property
    def wide(self) -> str:
        """ONNX tensor in int32."""
        return self.form("wide")

    @property
    def biased(self) -> str:
        """ONNX tensor in uint8; int8 numbers are 128 larger."""
        return self.form("biased")

    @property
    def lifted(self) -> str:
        """ONNX tensor in int32; int8 numbers are 128 larger."""
        return self.form("lifted")

    def _make_lifted(self) -> str:
        if "biased" in self._forms:
            return self._graph.cast(self.biased, np.int32)
        return self._graph.op("Add", self.wide, np.int32(self.zero_point))

    def _make_biased(self) -> str:
        return self._graph.cast(self.lifted, np.uint8)

    def _make_wide(self) -> str:
        return self._graph.op("Sub", self.lifted, np.int32(ZERO_POINT)) if self.spec.signed else self.lifted

    def _make_stored(self) -> str:
        if self.spec.dtype == np.int8:
            # Inverting the top bit subtracts 128 modulo 256; the cast then reads the bits as two's complement.
            return self._graph.cast(self._graph.op("BitwiseXor", self.biased, np.uint8(ZERO_POINT)), np.int8)
        return self._graph.cast(self.wide, self.spec.dtype)
