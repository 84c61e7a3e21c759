"""Several answers for each row: labels of which any number may hold, and numbers with more than one column."""

import numpy as np
from sklearn.datasets import load_linnerud, make_multilabel_classification
from sklearn.metrics import f1_score, hamming_loss, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from chainrule import MLPClassifier, MLPRegressor

X, Y = make_multilabel_classification(400, n_features=12, n_classes=4, random_state=0)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
model = MLPClassifier((24,), max_iter=120, learning_rate_init=0.01, random_state=0).fit(X_train, Y_train)
labels = model.predict(X_test)
print(
    f"labels: all right in {model.score(X_test, Y_test):.3f} of the rows, wrong by {hamming_loss(Y_test, labels):.4f}"
)
print("F1 of each label:", f1_score(Y_test, labels, average=None).round(3))
print("first rows:", labels[:3].tolist(), model.predict_proba(X_test[:3]).round(4).tolist())
print(f"outputs: {model.n_outputs_} × {model.out_activation_}, loss {model.loss_:.6f}")

turns = np.random.default_rng(0).uniform(-3, 3, (400, 1))
points = np.column_stack([np.cos(turns), np.sin(2 * turns), np.abs(turns)])
for solver in ("adam", "sgd"):
    model = MLPRegressor(
        hidden_layer_sizes=(40,),
        activation="tanh",
        solver=solver,
        learning_rate_init=0.02,
        max_iter=150,
        random_state=3,
    ).fit(turns, points)
    scores = r2_score(points, model.predict(turns), multioutput="raw_values")
    print(f"{solver}: three numbers, R² of each {scores.round(4)}, loss {model.loss_:.6f}")

X, Y = (StandardScaler().fit_transform(part) for part in load_linnerud(return_X_y=True))
model = MLPRegressor(hidden_layer_sizes=(6,), alpha=0.5, solver="lbfgs", max_iter=500, random_state=0).fit(X, Y)
print(f"lbfgs: linnerud, R² {model.score(X, Y):.4f}, loss {model.loss_:.6f}")
