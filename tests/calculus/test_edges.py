"""Every line of docs/calculus-edges.md is what the calculus does."""

import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.calculus import erf, grad

DOCUMENT = Path(__file__).parents[2] / "docs" / "calculus-edges.md"


def rows():
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            yield tuple(cell.strip("`") for cell in cells[:3])


ROWS = list(rows())


def test_the_table_is_read():
    assert len(ROWS) >= 40
    assert len({row[:2] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("function", "point", "derivative"), ROWS)
def test_a_line_of_the_table(function, point, derivative):
    names = {"np": np, "erf": erf, "inf": np.inf, "nan": np.nan}
    x = np.array(eval(point, names))[()]
    with np.errstate(all="ignore"):
        if derivative.endswith("Error"):
            with pytest.raises(getattr(np.linalg, derivative)):
                grad(eval(f"lambda x: {function}", names))(x)
        else:
            found = grad(eval(f"lambda x: {function}", names))(x)
            np.testing.assert_allclose(found, eval(derivative, names), rtol=1e-14)
