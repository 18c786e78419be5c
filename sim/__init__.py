"""What runs it: Verilator builds, simulations, reports and the `triptych` command."""
