"""The one table of layers that have an encrypted form; a layer is one file that serves every evaluator.

Only the standard library and numpy at import: the SPU environment and the MP-SPDZ compiler load this package too.
A layer knows its shapes, its torch module and its exact integer form, written once against `arithmetic.Arithmetic`;
`plan` joins the layers of a network into steps with proven bounds, which the reference and every engine evaluate.
"""

from pipeline.layers.arithmetic import CHECKED, PROJECTED, Arithmetic, Convolution, Shape, WeightBounds
from pipeline.layers.base import Layer
from pipeline.layers.network import Network, Parameter
from pipeline.layers.plan import Plan, Step, plan
from pipeline.layers.table import LAYERS
from pipeline.layers.values import Values
from pipeline.layers.work import Work

__all__ = [
    "CHECKED",
    "LAYERS",
    "PROJECTED",
    "Arithmetic",
    "Convolution",
    "Layer",
    "Network",
    "Parameter",
    "Plan",
    "Shape",
    "Step",
    "Values",
    "WeightBounds",
    "Work",
    "plan",
]
