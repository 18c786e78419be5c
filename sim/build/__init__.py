"""Builds, simulations and checks: Verilator, cocotb, lint."""
