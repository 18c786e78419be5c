"""Operations, one a file: what each is in PyTorch, in floats, in integers and on the chip (see docs/ops.md)."""
