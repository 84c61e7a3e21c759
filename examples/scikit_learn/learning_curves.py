"""How the score grows with the number of rows, and how it answers to one setting."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, learning_curve, validation_curve

from chainrule import MLPClassifier

X, y = load_digits(return_X_y=True)
X, y = X[:900] / 16, y[:900]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
network = MLPClassifier((20,), learning_rate_init=0.02, max_iter=25, tol=0.01, n_iter_no_change=3, random_state=0)

sizes, train, test = learning_curve(network, X, y, train_sizes=np.linspace(0.2, 1.0, 4), cv=folds)
for size, a, b in zip(sizes, train, test, strict=True):
    print(f"{size:4} rows: {a.mean():.4f} in training, {b.mean():.4f} ± {b.std():.4f} in the test")

for name, values in (("alpha", [1e-4, 1e-1, 10.0]), ("activation", ["relu", "tanh", "logistic", "identity"])):
    train, test = validation_curve(network, X, y, param_name=name, param_range=values, cv=folds)
    for value, a, b in zip(values, train, test, strict=True):
        print(f"{name} = {value}: {a.mean():.4f} in training, {b.mean():.4f} in the test")
