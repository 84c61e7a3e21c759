"""Floor 5, interchange: model files."""
