"""
Descents, drawn
===============

``minimize`` keeps where it went, and ``path.plot()`` draws it: contour lines, the path, and the gradient at a right
angle to the contour that it starts from (Figure 3 of the handout).
"""

import numpy as np

import chainrule as cr


# %%
# Two numbers
# -----------
# The arrows are the direction of the gradient, uphill. Each step of gradient descent goes straight the other way.
def bowl(x):
    return x[0] ** 2 + 4 * x[1] ** 2 + x[0] * x[1]


ax = cr.minimize(bowl, np.array([4.0, 2.5]), step=0.09, max_iter=40).plot()

# %%
# A step that is too large for the steep direction jumps across the valley, from slope to slope.
ax = cr.minimize(bowl, np.array([4.0, 2.5]), step=0.22, max_iter=40).plot()


# %%
# Methods differ in the way they take
# -----------------------------------
# A curved valley: L-BFGS follows it to the end in 30 to 40 steps, Adam swings and is half way after 400. The valley is
# narrow, so its contours want a fine grid.
def banana(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


ax = cr.minimize(banana, np.array([-1.2, 1.0]), "lbfgs").plot(resolution=241)
ax = cr.minimize(banana, np.array([-1.2, 1.0]), "adam", step=0.05, max_iter=400).plot(resolution=241)

# %%
# One number
# ----------
# The slope of each tangent decides the length of the next step. The descent ends in the valley that it started above,
# which need not be the lowest.
ax = cr.minimize(lambda x: 0.25 * x**4 - x**2 + 0.3 * x, 2.4, step=0.05).plot()

# %%
# More numbers
# ------------
# The plane is that of the path's two principal directions. The text under the picture says what the slice holds and
# that slices mislead.
stiffness = np.array([1.0, 2.0, 3.0, 5.0, 9.0])
ax = cr.minimize(lambda x: x @ (stiffness * x) / 2, np.ones(5), step=0.15).plot()
