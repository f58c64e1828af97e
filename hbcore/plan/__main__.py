"""`python -m hbcore.plan`, see `command.py`."""

import sys

from hbcore.plan.command import main

if __name__ == "__main__":
    sys.exit(main())
