"""Training curves of gradient descent in seven variants on four small tables.

Run it with a file name to keep the curves as a picture: python training_curves.py curves.png
"""

import sys

from sklearn.datasets import load_iris, load_wine, make_circles, make_moons
from sklearn.preprocessing import MinMaxScaler

from chainrule import MLPClassifier

VARIANTS = {
    "constant": {"momentum": 0.0},
    "constant, momentum": {"nesterovs_momentum": False},
    "constant, Nesterov": {},
    "invscaling": {"learning_rate": "invscaling", "momentum": 0.0},
    "invscaling, Nesterov": {"learning_rate": "invscaling", "power_t": 0.25},
    "adaptive": {"learning_rate": "adaptive", "momentum": 0.5},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}
TABLES = {
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "circles": make_circles(200, noise=0.2, factor=0.5, random_state=1),
    "moons": make_moons(200, noise=0.3, random_state=0),
}

curves = {}
for table, (X, y) in TABLES.items():
    X = MinMaxScaler().fit_transform(X)
    print(f"{table}: {len(X)} rows")
    print(f"  {'':22}{'epochs':>7}{'first':>9}{'10th':>9}{'last':>9}{'accuracy':>10}")
    for name, settings in VARIANTS.items():
        given = {"solver": "sgd", "learning_rate_init": 0.2, **settings}
        model = MLPClassifier(max_iter=60, random_state=0, **given).fit(X, y)
        curve = curves[table, name] = model.loss_curve_
        print(f"  {name:22}{model.n_iter_:7}{curve[0]:9.4f}{curve[9]:9.4f}{model.loss_:9.4f}{model.score(X, y):10.3f}")

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7))
    for ax, table in zip(axes.ravel(), TABLES, strict=True):
        for name in VARIANTS:
            ax.plot(curves[table, name], label=name)
        ax.set(title=table, xlabel="epoch", ylabel="loss")
    axes[0, 0].legend()
    figure.savefig(sys.argv[1])
