"""The accelerator, built: hardware from the operators' own parameter objects, by free tools alone."""
