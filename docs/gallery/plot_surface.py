"""
The error surface of a fitted network
=====================================

The error of a network of 7,510 weights cannot be drawn. Two directions of it can: those in which the training moved
most, or two random ones.
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from chainrule import MLPClassifier
from chainrule.insight.plots.surfaces import plot_surface, plot_surface_3d
from chainrule.insight.surface import error_surface

# %%
# Train on the digits, and keep the weights after each epoch.
warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X = X / 16
clf = MLPClassifier(max_iter=30, random_state=0).initialize(X, y)
points = [clf.network_.w.copy()]
clf = clf.set_callbacks(lambda event: points.append(clf.network_.w.copy())).fit(X, y)

# %%
# The plane of the path's two principal directions. Every value is the error that training made small, at other weights.
surface = error_surface(clf, X, y, path=np.array(points))
ax = plot_surface(surface)

# %%
# The same as a landscape. The path is drawn at its true height.
ax = plot_surface_3d(surface)

# %%
# Two random directions, as long as the weights of each unit (Li et al. 2018). Of the path nothing is seen in them.
ax = plot_surface(error_surface(clf, X, y, directions="random"))
