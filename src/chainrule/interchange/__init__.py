"""Floor 5, interchange: model files."""

from .modelfile import check_can_be_saved, load, save

__all__ = ["check_can_be_saved", "load", "save"]
