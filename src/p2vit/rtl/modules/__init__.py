"""One hardware module per operator, each with its timing and a golden ``compute`` made of :mod:`p2vit.numerics`."""

from p2vit.rtl.tools.missing import require

require("amaranth", "amaranth", "generating hardware")
