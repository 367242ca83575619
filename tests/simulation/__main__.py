"""`python -m tests.simulation SEED [STEPS]`: prints what happens; exit code 1 where that is wrong."""

import sys

from tests.simulation.drive import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
