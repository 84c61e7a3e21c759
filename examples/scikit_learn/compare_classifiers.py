"""A network beside other classifiers on tables of two columns: moons, circles, two classes with a line between."""

from sklearn.datasets import make_circles, make_classification, make_moons
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from chainrule import MLPClassifier

CLASSIFIERS = {
    "nearest neighbours": KNeighborsClassifier(3),
    "support vectors": SVC(gamma=2, C=1, random_state=42),
    "forest": RandomForestClassifier(max_depth=5, n_estimators=10, random_state=42),
    "network": MLPClassifier(alpha=1, max_iter=1000, random_state=42),
    "network, tanh, lbfgs": MLPClassifier((8, 8), "tanh", solver="lbfgs", alpha=0.1, max_iter=500, random_state=42),
    "naive Bayes": GaussianNB(),
    "quadratic discriminant": QuadraticDiscriminantAnalysis(),
}
TABLES = {
    "moons": make_moons(150, noise=0.3, random_state=0),
    "circles": make_circles(150, noise=0.2, factor=0.5, random_state=1),
    "linear": make_classification(
        150, n_features=2, n_redundant=0, n_informative=2, random_state=1, n_clusters_per_class=1
    ),
}

for table, (X, y) in TABLES.items():
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
    print(f"{table:26}{'accuracy':>9}{'log-loss':>10}")
    for name, classifier in CLASSIFIERS.items():
        model = make_pipeline(StandardScaler(), classifier).fit(X_train, y_train)
        line = f"  {name:24}{model.score(X_test, y_test):9.3f}"
        if hasattr(model, "predict_proba"):
            line += f"{log_loss(y_test, model.predict_proba(X_test)):10.4f}"
        print(line)
