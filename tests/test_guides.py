"""The guides' examples run as they are printed, one block after the other."""

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
# Guide -> what it needs beside the package itself.
NEEDS = {
    "beyond-scikit-learn": [],
    "descent-pictures": ["matplotlib"],
    "explain": ["matplotlib"],
    "derivatives": [],
    "look-inside": ["matplotlib", "jinja2"],
    "model-files": ["onnx", "onnxruntime"],
    "which-method-when": [],
}


@pytest.mark.parametrize("name", NEEDS)
def test_the_guide_runs(name, tmp_path, monkeypatch):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 2
    for block in blocks:
        exec(block, names)
