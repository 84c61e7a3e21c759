"""Floor 5, insight: reads a fitted network, changes nothing."""
