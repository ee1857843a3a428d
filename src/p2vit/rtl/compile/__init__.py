"""From an integer program to what the accelerator executes: a descriptor stream, a memory image and addresses."""
