"""The compiled engine on disk: where it is, what is removed, and a folder that cannot be written."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.engine import cache
from chainrule.engine.compiled import _GIVEN


def test_clear_removes_what_is_stored_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    kept = tmp_path / "notes.txt"
    for path in (tmp_path / "chainrule_tanh_1.o", tmp_path / "chainrule_product_2.o", kept):
        path.write_text("12345")
    assert len(cache.stored()) == 2
    assert cache.clear() == (2, 10)
    assert cache.stored() == []
    assert kept.exists()


def test_a_changed_text_or_module_has_another_name():
    assert cache.fingerprint("a") != cache.fingerprint("b")
    assert cache.fingerprint("a") != cache.fingerprint("a", ("jit.py",))
    assert cache.fingerprint("a") == cache.fingerprint("a")


@pytest.mark.parametrize(
    ("roots", "named"),
    [(("kernels", "second_order", "products"), cache.KERNEL_DEPENDS_ON), (("elementary",), cache.ROW_DEPENDS_ON)],
)
def test_all_that_is_compiled_in_is_in_the_name(roots, named):
    """Every module of the engine that these import, they or what they import: a change in any must compile anew."""
    seen, waiting = set(), list(roots)
    while waiting:
        name = waiting.pop()
        seen.add(f"{name}.py")
        for node in ast.walk(ast.parse((Path(cache.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = f"chainrule.engine.{node.module}" if node.level else node.module
                inner = module.removeprefix("chainrule.engine.")
                if inner != module and f"{inner}.py" not in seen and inner != "machine":  # which only calls the linker
                    waiting.append(inner)
    assert seen <= {*named, "jit.py"}


PROGRAM = "import numpy as np, chainrule as cr; print(cr.Network([2, 3, 1], seed=0).error(np.ones((1, 2)), [0.0]))"


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_said_and_training_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {
        **os.environ,
        "CHAINRULE_CACHE_DIR": str(tmp_path / "file" / "below"),
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
    assert "cannot be written" in done.stderr
    assert "CHAINRULE_CACHE_DIR" in done.stderr


@pytest.mark.slow
def test_warming_up_leaves_no_kernel_out(tmp_path):
    """A kernel added to the table is one that an image or a first lesson would wait for."""
    environment = {**os.environ, "CHAINRULE_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = "from chainrule.engine.warm import warm; warm()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stored = [path.name for path in tmp_path.iterdir()]
    for name in (name for kernels in _GIVEN.values() for name in kernels):
        assert any(path.startswith(f"chainrule_{name}_") for path in stored), name
