"""One tensor of the program in the forms that ONNX operators want, each made when first asked for."""

import numpy as np

from p2vit.export.onnx.common.graph import OnnxGraph
from p2vit.program.graph import TensorSpec

#: What the biased form of an int8 tensor adds: its zero point.
ZERO_POINT = 128


class Value:
    """A program tensor inside an ONNX graph.

    Forms, all of them exact:

    * ``stored``: the dtype that the program gives it (int8, uint8, int16, int32); what ``expose`` shows.
    * ``wide``: int32, what arithmetic is done in.
    * ``lifted``: int32 = int8 + 128, which is what a rounding shift leaves and what a table is read with.
    * ``biased``: uint8 = int8 + 128, what matrix products read; an unsigned tensor is its own.

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
        """What to take off the biased form: 128 for signed tensors, 0 for unsigned ones."""
        return ZERO_POINT if self.spec.signed else 0

    @property
    def cheapest(self) -> str:
        """Form that exists already, for operators that only move data."""
        return next(form for form in ("biased", "wide", "lifted", "stored") if form in self._forms)

    def form(self, name: str) -> str:
        """Tensor name of the form ``stored``, ``wide``, ``lifted`` or ``biased``."""
        if name not in self._forms:
            with self._graph.scope(self.spec.name):
                self._forms[name] = getattr(self, f"_make_{name}")()
        return self._forms[name]

    @property
    def stored(self) -> str:
        """The program's own dtype."""
        return self.form("stored")

    @property
    def wide(self) -> str:
        """int32."""
        return self.form("wide")

    @property
    def biased(self) -> str:
        """uint8."""
        return self.form("biased")

    @property
    def lifted(self) -> str:
        """int32, not negative."""
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
            # Flipping the top bit takes 128 off; the cast then reads the same bits as two's complement.
            return self._graph.cast(self._graph.op("BitwiseXor", self.biased, np.uint8(ZERO_POINT)), np.int8)
        return self._graph.cast(self.wide, self.spec.dtype)
