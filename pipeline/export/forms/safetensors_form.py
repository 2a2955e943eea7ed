"""safetensors: the network's parameters as float32 under torch's names, and nothing that runs.

What a graph would do to a record is described in the file's metadata.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.domain import UPDATE_BITS
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import read_object
from pipeline.export.content import Content
from pipeline.export.forms.base import Form, FormName, Tensors
from pipeline.layers import Network

_KEY = "wardround"
"""The one key of the metadata: the library orders several as it likes."""
_LENGTH = 8


class Safetensors(Form):
    """For whoever builds the network again, from the layers in the description."""

    name: ClassVar[FormName] = "safetensors"
    file: ClassVar[str] = "model.safetensors"
    library: ClassVar[str] = "safetensors"

    def write(self, content: Content) -> bytes:
        """The parameters, exact in float32, and the description."""
        weights = (content.parameters / (1 << UPDATE_BITS)).astype("<f4")
        tensors = {
            parameter.name: weights[parameter.offset :][: math.prod(parameter.shape)].reshape(parameter.shape)
            for parameter in content.study.network.parameters
        }
        return bytes(save(tensors, metadata={_KEY: content.description(self.made_with).decode()}))

    def recognises(self, data: bytes) -> bool:
        """By the header, which is a JSON object as long as the first bytes say."""
        end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
        return data[_LENGTH : _LENGTH + 1] == b"{" and data[:end].rstrip(b" ")[-1:] == b"}"

    def description(self, data: bytes) -> bytes:
        """The metadata under our key."""
        length = int.from_bytes(data[:_LENGTH], "little")
        metadata: Any = read_object(data[_LENGTH : _LENGTH + length]).get("__metadata__")
        if not isinstance(metadata, dict) or set(metadata) != {_KEY} or not isinstance(metadata[_KEY], str):
            raise EvidenceRejected(f"got other metadata, want one description under the key {_KEY}")
        return str(metadata[_KEY]).encode()

    def tensors(self, data: bytes, network: Network) -> Tensors:
        """All tensors of the file, which are the network's and no others."""
        try:
            held: Tensors = load(data)
        except (SafetensorError, KeyError, ValueError) as error:
            raise EvidenceRejected(f"got {len(data)} bytes that are no safetensors file; fetch it again") from error
        wanted = {parameter.name: (np.dtype("<f4"), parameter.shape) for parameter in network.parameters}
        got = {name: (tensor.dtype, tensor.shape) for name, tensor in held.items()}
        if got != wanted:
            raise EvidenceRejected(
                f"got tensors {', '.join(sorted(got))}, want float32 ones of the study's layers, {', '.join(wanted)}"
            )
        return held
