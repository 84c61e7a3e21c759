"""The scripts in examples/scikit_learn, with chainrule's import and with scikit-learn's: seconds side by side.

    python -m benchmarks.scripts [NAME …] [--rounds 3]

Every script runs once unmeasured with either import (compiled code is loaded, data read), then in turns; the fastest
round of each counts. What a script prints is not shown, nor is its warnings.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "scikit_learn"
OURS, THEIRS = "from chainrule import", "from sklearn.neural_network import"


def seconds(path: Path, theirs: bool) -> float:
    """How long the script runs, all of it."""
    text = path.read_text(encoding="utf-8")
    code = compile(text.replace(OURS, THEIRS) if theirs else text, str(path), "exec")
    started = time.perf_counter()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        exec(code, {"__name__": "__main__", "__file__": str(path)})
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="scripts, without .py; default all")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    paths = [path for path in sorted(FOLDER.glob("*.py")) if not given.names or path.stem in given.names]
    sys.argv = sys.argv[:1]  # the scripts read it
    print(f"{'script':24}{'scikit-learn':>14}{'chainrule':>11}{'times as fast':>15}")
    for path in paths:
        rounds = [(seconds(path, True), seconds(path, False)) for _ in range(given.rounds + 1)][1:]
        theirs, ours = (min(side) for side in zip(*rounds, strict=True))
        print(f"{path.stem:24}{theirs:12.2f} s{ours:9.2f} s{theirs / ours:15.1f}", flush=True)


if __name__ == "__main__":
    main()
