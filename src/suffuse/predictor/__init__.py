"""Raw record -> prediction, from an export alone: NumPy, Pillow, tokenizers and ONNX Runtime, no torch.

The cells go through the same code that prepared the training data, so the model sees the same bits.
"""

from ..export_integrity import SIGNATURE, digest
from .input_encoding import Derivation, Input
from .prediction import Answer, Prediction
from .predictor import Predictor

__all__ = ["SIGNATURE", "Answer", "Derivation", "Input", "Prediction", "Predictor", "digest"]
