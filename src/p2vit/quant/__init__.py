"""From a float model and a few photos to an integer program: calibration, rounding, search, lowering."""
