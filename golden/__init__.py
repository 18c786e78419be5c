"""What is right: integer semantics, PyTorch references and kernels of the three panels."""
