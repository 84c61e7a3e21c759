"""Floor 3, training: the loop as a generator of events."""
