"""Floor 2, engine: arrays in, arrays out, compiled."""
