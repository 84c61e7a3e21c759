"""The tests of this room share `against_sklearn`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
