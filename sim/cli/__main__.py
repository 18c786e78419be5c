"""`python -m triptych.sim.cli`."""

from triptych.sim.cli.main import main

main()
