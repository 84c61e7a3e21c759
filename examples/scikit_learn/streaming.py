"""Training that is driven by hand: rows that come in pieces, and fits that go on where the last one ended."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from chainrule import MLPClassifier, MLPRegressor

X, y = load_digits(return_X_y=True)
X = X / 16
held_X, held_y = X[1400:], y[1400:]

model = MLPClassifier((30,), learning_rate_init=0.01, random_state=0)
for number, start in enumerate(range(0, 1400, 100)):
    rows = slice(start, start + 100)
    before = model.score(X[rows], y[rows]) if number else float("nan")  # rows that it has not seen
    model.partial_fit(X[rows], y[rows], classes=np.unique(y))
    held = model.score(held_X, held_y)
    print(f"piece {number:2}: {before:.3f} before, loss {model.loss_:.5f}, {held:.4f} on rows held out")
print(f"rows seen: {model.t_}")

x = np.linspace(-2, 2, 200)[:, None]
wave = np.sin(3 * x[:, 0])
model = MLPRegressor(
    hidden_layer_sizes=(32,), activation="tanh", solver="sgd", learning_rate_init=0.1, max_iter=1, warm_start=True,
    random_state=np.random.RandomState(0),
)  # fmt: skip
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch a fit is meant
    for epoch in range(1, 61):
        model.fit(x, wave)
        if epoch % 10 == 0:
            print(
                f"epoch {epoch}: loss {model.loss_:.6f}, R² {model.score(x, wave):.4f}, ŷ(0.5) {model.predict([[0.5]])}"
            )
