"""What the penalty α does to the boundary between two classes: accuracy, size of the weights, decision values.

Each small map shows the probability of class 1 over the plane, from 0 to 9 tenths. Run it with a file name to keep
the boundaries as a picture: python regularisation_grid.py grid.png
"""

import sys

import numpy as np
from sklearn.datasets import make_circles, make_moons
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import MLPClassifier

ALPHAS = np.logspace(-2, 1, 4)
TABLES = {
    "moons": make_moons(120, noise=0.3, random_state=0),
    "circles": make_circles(120, noise=0.2, factor=0.5, random_state=1),
}
across, down = np.meshgrid(np.linspace(-2, 2, 24), np.linspace(2, -2, 9))
plane = np.column_stack([across.ravel(), down.ravel()])

found = {}
for table, (X, y) in TABLES.items():
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
    for alpha in ALPHAS:
        model = make_pipeline(
            StandardScaler(),
            MLPClassifier((20, 10), alpha=alpha, learning_rate_init=0.01, max_iter=800, random_state=1),
        ).fit(X_train, y_train)
        network = model[-1]
        size = np.sqrt(sum(np.sum(A**2) for A in network.coefs_))
        values = found[table, alpha] = network.predict_proba(plane)[:, 1].reshape(across.shape)
        print(
            f"{table}, alpha = {alpha:g}: accuracy {model.score(X_train, y_train):.3f} in training, "
            f"{model.score(X_test, y_test):.3f} in the test; weights of length {size:.2f}"
        )
        for line in values:
            print("   ", "".join(str(min(9, int(10 * p + 0.001))) for p in line))

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(TABLES), len(ALPHAS), figsize=(12, 6), squeeze=False)
    for row, (table, (X, y)) in zip(axes, TABLES.items(), strict=True):
        for ax, alpha in zip(row, ALPHAS, strict=True):
            ax.contourf(across, down, found[table, alpha], levels=10, cmap="RdBu")
            Z = StandardScaler().fit_transform(X)
            ax.scatter(Z[:, 0], Z[:, 1], c=y, cmap="RdBu", edgecolor="black", s=12)
            ax.set_title(f"{table}, α = {alpha:g}")
    figure.savefig(sys.argv[1])
