"""The composition as a formula, in symbols, numbers and LaTeX; what a network is made of."""

import json
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.insight.formula import formula, summary

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=40)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_the_composition_in_every_writing():
    net = cr.Network([2, 3, 3, 1], ["sigmoid", "tanh"], seed=0)
    found = net.formula()
    assert isinstance(found, str)
    assert found == "ŷ = A_3ᵀ tanh(A_2ᵀ sigmoid(A_1ᵀ x + b_1) + b_2) + b_3"
    assert found.symbols == "ŷ = σ_3(A_3ᵀ σ_2(A_2ᵀ σ_1(A_1ᵀ x + b_1) + b_2) + b_3)"
    latex = found.latex()
    assert latex.index(r"\tanh") < latex.index(r"\sigma") < latex.index("x + b_{1}")
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)") == 2
    assert found._repr_latex_() == f"${latex}$"
    assert pickle.loads(pickle.dumps(found)).symbols == found.symbols


def test_names_and_couples_of_letters_in_latex():
    assert r"\operatorname{leaky relu}" in cr.Network([1, 2, 1], "leaky_relu").formula().latex()
    assert r"\operatorname{softmax}" in cr.Network([1, 2, 3], "relu", "softmax").formula().latex()
    assert r"\left(A_{1}^\top x + b_{1}\right)" in cr.Network([1, 2, 1], "identity").formula().latex()


def test_numbers_are_written_where_they_are():
    net = cr.Network([2, 2, 1], "tanh")
    net.w[:] = [0.5, -1.25, 2.0, 3.0, 1e-7, -4.0, 0.0, 0.125, 7.0]
    lines = formula(net, numbers=True).splitlines()
    assert lines[1] == "with"
    written = "\n".join(lines)
    for value in ("0.5", "-1.25", "1e-07", "0.125", "7"):
        assert value in written
    latex = net.formula().latex(numbers=True)
    assert r"A_{1} &= \begin{pmatrix}0.5 & -1.25 \\ 2 & 3\end{pmatrix}" in latex
    assert r"1 \cdot 10^{-7}" in latex


def test_large_matrices_are_abbreviated():
    net = cr.Network([64, 100, 10], seed=0)
    text = str(net.formula(numbers=True))
    assert len(text) < 3000
    assert "(64 × 100)" in text
    assert max(map(len, text.splitlines())) < 110
    latex = net.formula().latex(numbers=True)
    assert r"\ddots" in latex
    assert latex.count("&") < 200


def test_a_summary_of_a_network_and_of_estimators():
    net = cr.Network([2, 3, 1], "tanh", dtype="float32", seed=0)
    found = net.summary()
    assert [row.parameters for row in found.layers] == [9, 4]
    assert (found.K, found.weights_bytes, found.training_bytes, found.method) == (13, 52, 104, None)
    model = cr.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X, Y)
    found = model.summary()
    assert found.method == "adam"
    assert found.training_bytes == 4 * found.weights_bytes == 4 * model.network_.w.nbytes
    assert "3 → 5 → 1: 2 layers, 26 parameters" in str(found)
    assert "in training by adam" in str(found)
    model.set_params(solver="lbfgs").fit(X, Y)
    assert model.summary().K == 26
    table = cr.TableRegressor((4,), epochs=2, random_state=0).fit({"size": X[:, 0], "age": X[:, 1]}, Y)
    assert "inputs: size, age" in str(table.summary())
    assert table.summary().method == "adamw"
    assert table.formula().startswith("ŷ = A_2ᵀ relu(")
    assert json.loads(json.dumps(found.as_dict()))["K"] == 26
    assert "<table" in found._repr_html_()
    assert sum(row.parameters for row in summary(net).layers) == net.K


def test_what_has_no_network():
    with pytest.raises(Exception, match="not fitted"):
        cr.MLPClassifier().formula()
    with pytest.raises(Exception, match="not fitted"):
        cr.TableRegressor().summary()
