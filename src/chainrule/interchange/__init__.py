"""Floor 5, interchange: model files, ONNX."""

from .modelfile import check_can_be_saved, load, save
from .onnxfile import onnx_inputs, to_onnx

__all__ = ["check_can_be_saved", "load", "onnx_inputs", "save", "to_onnx"]
