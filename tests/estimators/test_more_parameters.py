"""The page of parameters is what the rows say."""

from itertools import pairwise
from pathlib import Path

from chainrule.estimators.parameters import (
    ATTRIBUTES,
    CLASSIFIER_PARAMETERS,
    PARAMETERS,
    TABLE_PARAMETERS,
    reference,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parameters.md"


def test_the_page_is_what_the_rows_say():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "print it again: python -m chainrule.estimators.parameters > docs/reference/parameters.md"
    )


def test_the_page_has_every_row_and_every_line_as_many_cells_as_its_head():
    lines = reference().splitlines()
    for name in {*PARAMETERS, *CLASSIFIER_PARAMETERS, *TABLE_PARAMETERS, *ATTRIBUTES}:
        assert any(line.startswith(f"| `{name}` |") for line in lines), name
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.replace("\\|", "").count("|") == line.replace("\\|", "").count("|")
