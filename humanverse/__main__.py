"""`python -m humanverse`."""

import sys

from humanverse.cli import main

sys.exit(main())
