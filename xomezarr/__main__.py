"""``python -m xomezarr`` is ``xomezarr``."""

import sys

from xomezarr.cli import main

if __name__ == "__main__":
    sys.exit(main())
