"""The forms in which a model leaves: each in a file of its own, and what they answer in `base`."""

from collections.abc import Mapping

from pipeline.export.forms.base import Form
from pipeline.export.forms.onnx_form import Onnx
from pipeline.export.forms.safetensors_form import Safetensors
from pipeline.export.forms.torchscript_form import TorchScript

FORMS: Mapping[str, Form] = {form.name: form for form in (Onnx(), TorchScript(), Safetensors())}
"""Name on the command line to the form."""
