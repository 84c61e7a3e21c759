"""
What each input did to one answer
=================================

Integrated gradients divide the change of an output, from a baseline to a row, among the inputs: their sum is the
change, not more and not less.
"""

# %%
# For a table the baseline is the middle of every number and no category. The bars add up to what the title says.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import chainrule as cr
from chainrule.insight.inputs import gradient_times_input, integrated_gradients
from chainrule.insight.plots.inputs import plot_attributions

frame = cr.load_dataset("auto-mpg")
cars, mpg = frame.drop(columns="mpg"), frame["mpg"]
model = cr.TableRegressor(epochs=40, random_state=0).fit(cars, mpg)
parts = integrated_gradients(model, cars[:1]).by_column()
plot_attributions(parts)
print(parts)

# %%
# The slope at the row alone (gradient × input) promises no such sum. Over all cars, how far is it from the change?

some = cars[::8]
gap = {way.__name__: np.abs(way(model, some).gap).max() for way in (integrated_gradients, gradient_times_input)}
for name, miles in gap.items():
    print(f"{name}: the sum misses the change by up to {miles:.2g} miles per gallon")

# %%
# Where inputs are pixels, their parts are an image. The baseline is an empty picture; blue pixels spoke for the digit
# that was asked for, red ones against it. Asked for another digit, the same pixels speak otherwise.

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X = X / 16.0
digits = cr.MLPClassifier((30,), max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
row = X[y == 4][:1]
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].imshow(row.reshape(8, 8), cmap="Greys")
axes[0].set(title="the row: a 4", xticks=[], yticks=[])
for ax, digit in zip(axes[1:], (4, 9), strict=True):
    plot_attributions(integrated_gradients(digits, row, output=digit, of="score"), ax=ax, shape=(8, 8))
    ax.set_title(f"what spoke for and against a {digit}")
plt.show()
