"""Floor 2, engine: the names of the columns and entries of the tables that the kernels read."""

from __future__ import annotations

# Columns of `layers`: sizes, the addresses of the activation and of its slope, offsets (of A_l and b_l within w, of
# the panels of A_l and of A_lᵀ; of a_l, z_l, delta_l, of what is passed on to the next layer, of the dropout factors,
# of the panels of delta_l, of its sums over rows and of the shard's dE/dA_l within a shard's line), and whether the
# layer is trained. What is passed on is a_l, but with dropout; a shard makes no dE/dA_l of its own (−1) where all do it
# together.
INPUTS, OUTPUTS, ACTIVATION, SLOPE, AT_A, AT_B, AT_PANELS, AT_TURNED = range(8)
AT_VALUE, AT_Z, AT_DELTA, AT_PASSED, AT_KEEP, AT_PACKED, AT_SUMS, AT_GRADIENT, TRAINED = range(8, 17)
# `tail` has the offsets of what else a shard keeps: its rows, a panel of w, a gradient or a piece of one, a packed Aᵀ;
# and what the values of a group of units add to z_2.
INPUT, TARGETS, ROW_WEIGHTS, PACKED, PIECE, SPARE, ADDED = range(7)
# Entries of `rules`, the numbers of a plan that belong to no row: α of the squared penalty, of the absolute one,
# decoupled decay of weights, bound on the gradient's norm (0: none).
ALPHA, L1, DECAY, CLIP = range(4)
# Columns of `pieces`: where a piece of w starts and stops, whether it is weights (else biases), of which layer, up to
# which one; where it is one layer's weights, which line of A_l it starts with and how many it has; and the group of
# units that it belongs to (−1: none), whose part it is a piece of, not a layer's.
START, STOP, IS_WEIGHT, LAYER, LAST_LAYER, FROM_LINE, LINES, GROUP = range(8)
# What JᵀJ is made of. Columns of `places`: where a layer's entries stand within a line of the Jacobian of one output,
# where its pairs of inputs and of deltas stand within a line of pairs, and what they add up to (−1 where it has none).
# A line is cut into segments, from a first entry to an end, with the layer whose pairs make their products (or −1);
# some are cut into panels, of which segment.
IN_LINE_A, IN_LINE_B, OF_INPUTS, OF_DELTAS, AT_SQUARES = range(5)
FIRST, END, OF_LAYER = range(3)
SEGMENT = OF_LAYER
# Entries of the counter that the threads of a kernel share, each in a line of the processor's cache: how many have come
# to a meeting, how many tasks there were, how many had come when this one began.
MEETING, TASKS, BEGAN, COUNTER_SIZE = 0, 8, 16, 24
# Entries of the numbers of a damped trial: what is made small where the step begins, how small a fall cannot be seen
# there, how many times as much is hopeless, how many corrections there may be; then what is found: whether the matrix
# was positive definite (else 0), the fall that the model promises, what is made small at the end, how often the
# residuals were asked for.
MERIT, INVISIBLE, HOPELESS, CORRECTIONS, FOUND, FALL, REACHED, EVALUATIONS, NUMBERS = range(9)
