"""Floor 0, calculus: derivatives of functions written in plain NumPy."""
