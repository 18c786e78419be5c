import sys

from triptych.sim.lint.checks import main

sys.exit(main())
