"""The torch executor: a program on torch integer tensors."""
