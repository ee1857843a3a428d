"""The torch executor: runs a program on torch integer tensors."""
