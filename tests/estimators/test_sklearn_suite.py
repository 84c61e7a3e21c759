"""scikit-learn's own tests of its MLPs, taken from the installed package and run on ours."""

import importlib.util
import inspect
from pathlib import Path

import pytest
import sklearn.neural_network

import chainrule

# Its tests expect ConvergenceWarnings that they do not catch.
pytestmark = pytest.mark.filterwarnings("ignore")

# Tests that read what is private in scikit-learn's classes, and the attribute; there is no such thing here.
PRIVATE = {
    "test_gradient": "_loss_grad_lbfgs",
    "test_learning_rate_warmstart": "_optimizer",
    "test_adaptive_learning_rate": "_optimizer",
}


def its_tests():
    """The test functions of scikit-learn's module, which import our classes where they ask for its own."""
    path = Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py"
    spec = importlib.util.spec_from_file_location("its_test_mlp", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLPClassifier", "MLPRegressor"):
            patch.setattr(sklearn.neural_network, name, getattr(chainrule, name))
        spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


ITS_TESTS = its_tests()
globals().update({name: function for name, function in ITS_TESTS.items() if name not in PRIVATE})


@pytest.fixture
def global_random_seed():
    return 42  # its default


def test_all_of_its_tests_were_found():
    assert len(ITS_TESTS) >= 40
    assert ITS_TESTS["test_fit"].__globals__["MLPClassifier"] is chainrule.MLPClassifier


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_left_out_reads_a_private_attribute(name):
    assert PRIVATE[name] in inspect.getsource(ITS_TESTS[name])
