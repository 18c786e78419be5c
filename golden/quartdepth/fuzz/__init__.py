"""Random legal networks: PyTorch modules that capture, quantiser, compiler and machine must agree about."""
