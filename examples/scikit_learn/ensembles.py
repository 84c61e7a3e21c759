"""Networks as parts of something larger: calibrated, voted, stacked, predicted by cross-validation."""

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_wine, make_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix
from sklearn.model_selection import cross_val_predict, cross_val_score, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import MLPClassifier

X, y = make_classification(400, n_features=8, n_informative=5, flip_y=0.1, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
network = MLPClassifier((20,), max_iter=60, learning_rate_init=0.02, tol=1e-3, random_state=0)

raw = network.fit(X_train, y_train).predict_proba(X_test)[:, 1]
print(f"network alone: Brier score {brier_score_loss(y_test, raw):.4f}")
for method in ("sigmoid", "isotonic"):
    calibrated = CalibratedClassifierCV(network, method=method, cv=3).fit(X_train, y_train)
    p = calibrated.predict_proba(X_test)[:, 1]
    print(f"calibrated ({method}): Brier score {brier_score_loss(y_test, p):.4f}, first rows {p[:4].round(3)}")

others = [("network", network), ("bayes", GaussianNB()), ("line", LogisticRegression())]
for voting in ("hard", "soft"):
    print(f"vote ({voting}): {VotingClassifier(others, voting=voting).fit(X_train, y_train).score(X_test, y_test):.4f}")
stack = StackingClassifier(others, final_estimator=LogisticRegression(), cv=3).fit(X_train, y_train)
print(f"stack: {stack.score(X_test, y_test):.4f}, coefficients {np.round(stack.final_estimator_.coef_, 3)}")
bag = BaggingClassifier(network, n_estimators=4, max_samples=0.7, random_state=0).fit(X_train, y_train)
print(f"bag of 4: {bag.score(X_test, y_test):.4f}")

X, y = load_wine(return_X_y=True)
model = make_pipeline(StandardScaler(), MLPClassifier((10,), "tanh", solver="lbfgs", alpha=1.0, random_state=0))
print("wine, by cross-validation:", cross_val_score(model, X, y, cv=4).round(4))
print(confusion_matrix(y, cross_val_predict(model, X, y, cv=4)))
p = cross_val_predict(model, X, y, cv=4, method="predict_proba")
print("mean probability of the true class:", p[np.arange(len(y)), y].mean().round(4))
each = OneVsRestClassifier(model).fit(X, y)
print("one network for each class:", each.predict_proba(X[::60]).round(3).tolist())
