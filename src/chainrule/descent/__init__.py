"""Floor 1, descent: how a point moves; knows nothing of networks."""
