"""The guide on derivatives prints what stands in it."""

import contextlib
import io
import math
import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "derivatives.md"


def same(found, told):
    """Equal words, or numbers that differ by no more than another processor's rounding."""
    if found == told:
        return True
    try:
        a, b = (float(word.strip("(),:")) for word in (found, told))
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)


def test_the_guide_prints_what_it_says():
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    assert sum(bool(expected) for _, expected in blocks) >= 8
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        found, told = out.getvalue().split(), expected.split()
        assert len(found) == len(told)
        assert all(same(a, b) for a, b in zip(found, told, strict=True)), out.getvalue()
