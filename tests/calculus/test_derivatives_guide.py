"""The guide on derivatives prints what stands in it."""

import contextlib
import io
import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "derivatives.md"


def test_the_guide_prints_what_it_says():
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    assert sum(bool(expected) for _, expected in blocks) >= 8
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        assert out.getvalue() == expected
