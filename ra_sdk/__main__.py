"""``python -m ra_sdk`` is ``ra``."""

import sys

from ra_sdk.cli.app import main

sys.exit(main())
