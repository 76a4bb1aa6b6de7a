"""Raw record -> prediction, from an export alone: NumPy, Pillow, tokenizers and ONNX Runtime, no torch.

The cells go through the same code that prepared the training data, so the model sees the same bits.
"""

from .answers import Answer, Prediction
from .inputs import Derivation, Input
from .opening import SIGNATURE, digest
from .whole import Predictor

__all__ = ["SIGNATURE", "Answer", "Derivation", "Input", "Prediction", "Predictor", "digest"]
