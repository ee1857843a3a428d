"""Vision Transformers on integers alone: quantize with power-of-two scales, run, export, cost and build.

Importing this package never imports torch: torch is needed to quantize a model, not to run a program.
"""

__version__ = "0.1.0"
