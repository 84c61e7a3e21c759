"""Other processes that compile ahead: what they do, what is done without them, and what becomes of them."""

import os
import subprocess
import sys
import time

import pytest

from chainrule.engine import cache, compiled, helpers
from chainrule.engine.compiled import _GIVEN, DAMPED, KERNELS, NORMAL, SECOND_ORDER, UNITS
from chainrule.engine.helpers import Helpers
from chainrule.engine.records import Desk, Move, Net, Rows, Squares, kinds_of

# Writes its job's second word to the file that the first one names, after so many seconds as the third says.
WRITE = """
import pathlib, sys, time
path, word, seconds = sys.stdin.read().split()
time.sleep(float(seconds))
pathlib.Path(path).write_text(word)
"""


def jobs(folder, seconds, names="abc"):
    return {name: f"{folder / name} {name * 3} {seconds}".encode() for name in names}


def settled(own, names, meanwhile=lambda name: pytest.fail("nothing is left")):
    for name in names:
        own.settle(name, meanwhile)


def test_jobs_are_done_at_the_same_time_and_waited_for(tmp_path):
    own = Helpers(WRITE)
    own.ask(jobs(tmp_path, 0.3), most=3)
    while len(own._under_way) + len(list(tmp_path.iterdir())) < 3:
        time.sleep(0.01)
    settled(own, "abc")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["aaa", "bbb", "ccc"]
    own.ask(jobs(tmp_path, 0.0, "d"), most=3)  # those who did them have gone
    while not (tmp_path / "d").exists():
        time.sleep(0.01)


def test_who_waits_is_given_what_nobody_has_begun(tmp_path):
    own, handed = Helpers(WRITE), []
    own.ask(jobs(tmp_path, 0.5), most=1)
    while not own._under_way:
        time.sleep(0.01)
    own.settle("b", handed.append)  # not begun: taken back, nothing is waited for
    assert not (tmp_path / "a").exists()
    own.settle("a", handed.append)
    assert handed == ["c"]
    assert (tmp_path / "a").exists()
    own.settle("unknown", handed.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("program", ["no Python", "raise SystemExit(3)"])
def test_a_job_that_fails_is_over(tmp_path, program):
    own = Helpers(program)
    own.ask(jobs(tmp_path, 0), most=1)
    settled(own, "abc", lambda name: None)
    assert list(tmp_path.iterdir()) == []


def test_where_no_process_can_be_started_nothing_is_waited_for(tmp_path, monkeypatch):
    own = Helpers(WRITE)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    own.ask(jobs(tmp_path, 0), most=2)
    settled(own, "abc", lambda name: None)
    monkeypatch.setattr(sys, "executable", "/usr/bin/editor")  # in which Python lives
    other = Helpers(WRITE)
    other.ask(jobs(tmp_path, 0), most=2)
    assert other._threads == 0
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(helpers, "_LONGEST", 0.2)
    own = Helpers(WRITE)
    own.ask(jobs(tmp_path, 60, "a"), most=1)
    started = time.monotonic()
    own.settle("a", lambda name: None)
    assert time.monotonic() - started < 30
    assert not own._under_way


ENDS = """
import pathlib, sys, time
from chainrule.engine.helpers import Helpers
own = Helpers("import os, pathlib, sys, time; pathlib.Path(sys.stdin.read()).write_text(str(os.getpid())); time.sleep(60)")
own.ask({"a": sys.argv[1].encode()}, 1)
path = pathlib.Path(sys.argv[1])
while not path.exists() or not path.read_text():
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by a signal")
def test_they_end_with_the_process(tmp_path):
    path = tmp_path / "number"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDS, str(path)], env=environment, capture_output=True, text=True,
        check=False, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_waits_for_nobody(tmp_path):
    own = Helpers(WRITE)
    own.ask(jobs(tmp_path, 1.0), most=1)
    while not own._under_way:
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        own.settle("a", lambda name: None)
        os._exit(0 if not (tmp_path / "a").exists() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    settled(own, "abc", lambda name: None)


# ---------------------------------------------------------------- the compiler's


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A cache of its own, in which nothing is, of a machine with three processors."""
    monkeypatch.setattr(cache, "directory", lambda: tmp_path)
    monkeypatch.setattr(cache, "_addresses", {})
    monkeypatch.setattr(cache, "_asked", {})
    monkeypatch.setattr(cache, "_announce", lambda: None)
    monkeypatch.setattr(cache, "available_threads", lambda: 3)
    return tmp_path


def small(k):
    return cache.Printed(f"times{k}", f"def function(x):\n    return {k}.0 * x\n", "x", "float64")


def test_what_was_asked_for_is_not_compiled_here(empty, monkeypatch):
    cache.ask_for([small(2), small(3)])
    while len(list(empty.glob("*.o"))) < 2:
        time.sleep(0.01)
    monkeypatch.setattr(cache, "_compile", lambda *a: pytest.fail("it was compiled there"))
    for k in (2, 3):
        assert cache.machine_function(*small(k)) > 0


def test_without_processors_or_with_one_function_nobody_is_asked(empty, monkeypatch):
    monkeypatch.setattr(cache._helpers, "ask", lambda *a: pytest.fail("there is none"))
    cache.ask_for([small(2)])
    monkeypatch.setattr(cache, "available_threads", lambda: 1)
    cache.ask_for([small(2), small(3)])


def test_who_waits_compiles_another_and_what_fails_elsewhere_is_compiled_here(empty, monkeypatch):
    monkeypatch.setattr(cache, "available_threads", lambda: 2)
    monkeypatch.setattr(cache, "_helpers", Helpers("import time; time.sleep(0.5)"))
    cache.ask_for([small(2), small(3)])
    while not cache._helpers._under_way:
        time.sleep(0.01)
    assert cache.machine_function(*small(2)) > 0
    assert {path.name for path in empty.glob("*.o")} == {f"{small(k).symbol}.o" for k in (2, 3)}


# ---------------------------------------------------------------- what kernels are given


def test_every_kernel_says_what_it_is_given():
    """The text is printed from the table alone; the machine code checks the arrays that come."""
    groups = {"kernels": KERNELS, "units": UNITS, "second_order": SECOND_ORDER, "normal": NORMAL, "damped": DAMPED}
    assert set(groups) == set(_GIVEN)
    for module, group in groups.items():
        for name, given in _GIVEN[module].items():
            text = getattr(group, name).printed("float32").text
            entries = [kind for word in given.split() for kind in flat(word)]
            assert text.count("entry_of(frame, ") == sum(1 if kind == "n" else 2 for kind in entries)
            assert ("float32" in text) == any(kind[0] == "R" for kind in entries)
    with pytest.raises(AttributeError, match="no kernel 'nothing' in kernels"):
        KERNELS.nothing  # noqa: B018


def flat(word):
    if word == "together":
        return ["I1"]
    return kinds_of(word) if word in {kind.__name__ for kind in (Desk, Move, Net, Rows, Squares)} else [word]


def test_all_that_is_asked_for_ahead_can_be_printed(monkeypatch):
    from chainrule.engine.jacobian import wanted_by_trials
    from chainrule.engine.run import _WANTED
    from chainrule.network import Layout

    asked = []
    monkeypatch.setattr(compiled, "ask_for", asked.extend)
    of_training = KERNELS.train_steps, UNITS.train_by_units, *_WANTED
    for wanted in (of_training, wanted_by_trials(Layout.of([2, 3, 1])), wanted_by_trials(Layout.of([60, 60, 1]))):
        compiled.ahead.__wrapped__(wanted, "float64")
    assert {printed.stem for printed in asked} >= {"train_steps_float64", "product_float64", "jacobian_lines_float64"}
    for printed in asked:
        compile(printed.text, printed.stem, "exec")
