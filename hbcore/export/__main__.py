"""`python -m hbcore.export`, see `command.py`."""

import sys

from hbcore.export.command import main

if __name__ == "__main__":
    sys.exit(main())
