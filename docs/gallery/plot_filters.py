"""
What the first layer looks for
==============================

Where the inputs are pixels, the weights into a unit of the first layer are an image: blue where a bright pixel raises
the unit's raw score, red where it lowers it.
"""

# %%
# Handwritten digits of 8 × 8 pixels. Some epochs are enough for a look.

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from chainrule import MLPClassifier
from chainrule.insight.plots.inputs import plot_filters

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X = X / 16.0
plain = MLPClassifier((16,), "tanh", max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
plot_filters(plain)

# %%
# Pixels at the edge are the same in every row: their weights stay as they were drawn, which looks like noise. Weight
# decay takes away what no row asks for, and broader strokes remain.

decayed = MLPClassifier(
    (16,), "tanh", solver="adamw", weight_decay=1.0, max_iter=200, learning_rate_init=0.01, random_state=0
).fit(X, y)
plot_filters(decayed)

# %%
# A network without a hidden layer has one filter for each digit: where ink speaks for it, and where against it.

straight = MLPClassifier((), solver="lbfgs", alpha=10.0, max_iter=300, random_state=0).fit(X, y)
plot_filters(straight)
plt.show()
