"""One hardware module per operator, with its timing and a golden model ``compute`` from :mod:`p2vit.numerics`."""

from p2vit.hdl.tools.missing import require

require("amaranth", "amaranth", "generating hardware")
