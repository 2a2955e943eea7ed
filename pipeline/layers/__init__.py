"""The one table of layers that have an encrypted form; a layer is one file that serves every evaluator.

Only the standard library and numpy at import: the SPU environment and the MP-SPDZ compiler load this package too.
A layer knows its shapes and its torch module; `pipeline.mpc.reference` and the engines evaluate it (`forms` of each file).
"""

from pipeline.layers.avg_pool2d import AvgPool2d
from pipeline.layers.base import Layer, Shape
from pipeline.layers.conv2d import Conv2d
from pipeline.layers.flatten import Flatten
from pipeline.layers.linear import Linear
from pipeline.layers.network import Network, Parameter
from pipeline.layers.relu import ReLU

LAYERS: dict[str, type[Layer]] = {layer.__name__: layer for layer in (Conv2d, AvgPool2d, ReLU, Flatten, Linear)}
"""Name in a study file (torch's own name) to layer."""

__all__ = ["LAYERS", "AvgPool2d", "Conv2d", "Flatten", "Layer", "Linear", "Network", "Parameter", "ReLU", "Shape"]
