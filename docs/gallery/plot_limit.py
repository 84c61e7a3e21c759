"""
A derivative as a limit
=======================

The slope of the secant approaches the derivative as h falls, until rounding takes over: the error has the shape of a V.
"""

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr

table = cr.limit_table(np.exp, 1.0)
fig, ax = plt.subplots(layout="constrained")
ax.loglog(table.h, table.secant_error, "o-", label="secant")
ax.loglog(table.h, table.central_error, "s-", label="central difference")
ax.set(xlabel="h", ylabel="distance from the derivative", title="The derivative of eˣ at 1")
ax.legend()
