"""Combinational arithmetic of the operators, shared by the operator modules and the engines of the accelerator.

The modules and the lanes of the accelerator place registers between these functions in different ways. Rounding and
saturation of each operator are defined only here.
"""
