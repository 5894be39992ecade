"""``python -m neardup``: the same as ``neardup``, where the script is not on the path."""

import sys

from neardup.cli import main

if __name__ == "__main__":
    sys.exit(main())
