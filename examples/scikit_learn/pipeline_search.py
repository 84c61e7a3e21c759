"""A pipeline whose settings are searched, over a grid and at random, on two processes."""

from scipy.stats import loguniform
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import MLPClassifier

if __name__ == "__main__":
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("network", MLPClassifier(max_iter=100, learning_rate_init=0.01, random_state=0))]
    )

    grid = {"network__hidden_layer_sizes": [(8,), (16, 8)], "network__alpha": [1e-4, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X_train, y_train)
    results = search.cv_results_
    for setting, mean, spread in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        print(f"{setting}: {mean:.4f} ± {spread:.4f}")
    print(f"best: {search.best_params_}, {search.score(X_test, y_test):.4f} on the rows held out")

    ranges = {
        "network__alpha": loguniform(1e-5, 10),
        "network__learning_rate_init": loguniform(1e-3, 1e-1),
        "network__solver": ["adam", "sgd"],
    }
    search = RandomizedSearchCV(pipeline, ranges, n_iter=6, cv=3, scoring="roc_auc", n_jobs=2, random_state=0)
    search.fit(X_train, y_train)
    for rank, setting in sorted(zip(search.cv_results_["rank_test_score"], search.cv_results_["params"], strict=True),
                                key=lambda pair: pair[0]):  # fmt: skip
        print(rank, {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in setting.items()})
    print(f"best area under the curve: {search.best_score_:.4f}, {search.score(X_test, y_test):.4f} on rows held out")
