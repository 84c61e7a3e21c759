"""Floor 5, interchange: model files."""

from .modelfile import load, save

__all__ = ["load", "save"]
