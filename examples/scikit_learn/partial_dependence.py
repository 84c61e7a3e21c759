"""What a regression network learned: partial dependence and permutation importance, on two tables."""

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from chainrule import MLPRegressor


def show(what, model, X, y, names, columns):
    """Print the score on held-out rows, the dependence on some columns, and the importance of all."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    model.fit(X_train, y_train)
    print(f"{what}: R² {model.score(X_test, y_test):.4f} after {model[-1].n_iter_} epochs")
    for column in columns:
        found = partial_dependence(model, X_train, [column], grid_resolution=6, method="brute")
        pairs = zip(found["grid_values"][0], found["average"][0], strict=True)
        print(f"  ŷ over {names[column]}:", "  ".join(f"{x:.3g} → {value:.5g}" for x, value in pairs))
    both = partial_dependence(model, X_train, [tuple(columns[:2])], grid_resolution=3, method="brute")
    print("  over the first two together:", np.array2string(both["average"][0].ravel(), precision=3))
    importance = permutation_importance(model, X_test, y_test, n_repeats=5, random_state=0)
    for column in np.argsort(-importance.importances_mean)[:4]:
        print(
            f"  {names[column]:6} matters by {importance.importances_mean[column]:.4f} "
            f"± {importance.importances_std[column]:.4f}"
        )


X, y = make_friedman1(500, n_features=6, noise=0.3, random_state=0)
friedman = make_pipeline(
    QuantileTransformer(n_quantiles=100),
    MLPRegressor(
        hidden_layer_sizes=(30, 15), learning_rate_init=0.01, early_stopping=True, max_iter=300, random_state=0
    ),
)
show("Friedman's function", friedman, X, y, [f"x{j}" for j in range(6)], [0, 3, 5])

diabetes = load_diabetes()
model = make_pipeline(
    StandardScaler(),
    MLPRegressor(
        hidden_layer_sizes=(20,), activation="tanh", alpha=1.0, learning_rate_init=0.05, max_iter=150, tol=1e-2,
        random_state=1,
    ),
)  # fmt: skip
show("diabetes", model, diabetes.data, diabetes.target, diabetes.feature_names, [2, 8])
