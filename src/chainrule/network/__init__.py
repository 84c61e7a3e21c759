"""Floor 1, network: what is trained, as rows and plain data."""
