"""The integer network: capture from PyTorch, fusion, quantisation, execution."""
