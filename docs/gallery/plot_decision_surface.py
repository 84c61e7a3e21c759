"""
What a network answers everywhere
=================================

Two features span a plane, and the whole of a network can be seen on it: the colour is the class, the stronger the
surer, and white lines are where two classes are as probable.
"""

# %%
# Two half moons cannot be parted by a line. A network without a hidden layer can do no better than one; units of a
# hidden layer bend it.

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons

import chainrule as cr
from chainrule.insight.plots.decision import plot_decision_surface

X, y = make_moons(300, noise=0.2, random_state=0)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for ax, hidden in zip(axes, [(), (3,), (30, 30)], strict=True):
    model = cr.MLPClassifier(hidden, "tanh", solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    plot_decision_surface(model, X, y, ax)
    ax.set_title(f"hidden layers {hidden}: {model.score(X, y):.1%} right")

# %%
# The last one draws its line around single points: it has learned the noise. Some penalty on the weights makes it
# smooth again; too much leaves little more than a line.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for ax, alpha in zip(axes, [1e-4, 0.1, 10.0], strict=True):
    model = cr.MLPClassifier((30, 30), "tanh", alpha=alpha, solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    plot_decision_surface(model, X, y, ax)
    ax.set_title(f"alpha = {alpha:g}")

# %%
# Of a table with more columns two are chosen; the others stand at their middle, which the title says.

frame = cr.load_dataset("penguins")
columns, species = frame.drop(columns="species"), frame["species"]
model = cr.TableClassifier(epochs=40, random_state=0).fit(columns, species)
plot_decision_surface(model, columns, species, features=("bill_length_mm", "flipper_length_mm"))
plt.show()
