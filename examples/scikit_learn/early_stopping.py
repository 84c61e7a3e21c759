"""Stopping by rows held out of the training, printed epoch by epoch."""

import numpy as np
from sklearn.datasets import load_digits, make_regression
from sklearn.preprocessing import scale

from chainrule import MLPClassifier, MLPRegressor

X, y = load_digits(return_X_y=True)
X = X / 16
model = MLPClassifier(
    (12,), learning_rate_init=0.03, early_stopping=True, validation_fraction=0.2, n_iter_no_change=5, tol=1e-3,
    verbose=True, random_state=0,
).fit(X[:700], y[:700])  # fmt: skip
print(f"best accuracy {model.best_validation_score_:.4f} in epoch {np.argmax(model.validation_scores_) + 1}")
print(f"on other rows: {model.score(X[700:], y[700:]):.4f}")

X, y = make_regression(300, 8, n_informative=5, noise=20.0, random_state=0)
X, y = scale(X), scale(y)
weights = np.linspace(0.5, 1.5, len(y))
for fraction in (0.1, 0.3):
    for patience in (3, 15):
        model = MLPRegressor(
            hidden_layer_sizes=(25,), solver="sgd", learning_rate="adaptive", learning_rate_init=0.05, max_iter=80,
            early_stopping=True, validation_fraction=fraction, n_iter_no_change=patience, random_state=0,
        ).fit(X, y, sample_weight=weights)  # fmt: skip
        print(
            f"held out {fraction:.0%}, patience {patience}: {model.n_iter_} epochs, best R² "
            f"{model.best_validation_score_:.4f}, R² of all rows {model.score(X, y):.4f}"
        )
