"""
A derivative as a limit
=======================

The slope of the secant approaches the derivative as h falls, until rounding takes over: the error has the shape of a V.
"""

import numpy as np

import chainrule as cr

cr.limit_table(np.exp, 1.0).plot()
