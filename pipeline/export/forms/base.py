"""What a form of exported files answers.

A file is written in a process of its own, for torch counts what it compiles over the life of a process, and names it
so. Equal contents then have equal bytes, as long as the same packages write them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import metadata
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline.errors import Misconfigured
from pipeline.export.content import Content
from pipeline.layers import Network

Tensors = Mapping[str, npt.NDArray[np.float32]]
"""Parameters of a network by torch's names."""


FormName = Literal["onnx", "torchscript", "safetensors"]


class Form(ABC):
    """One form of files; nothing in it runs what a file holds."""

    name: ClassVar[FormName]
    file: ClassVar[str]
    """The name under which model hubs look for it."""
    library: ClassVar[str]
    """As model hubs call what loads it."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What decides its bytes, beside the content."""

    @property
    def made_with(self) -> Mapping[str, str]:
        """The packages' versions here, without what says for which processor they were built.

        Raises Misconfigured where one is missing.
        """
        try:
            return {package: metadata.version(package).partition("+")[0] for package in self.packages}
        except metadata.PackageNotFoundError as error:
            raise Misconfigured(
                f"{self.name}: got no package {error.name} on this machine, which a hospital's set-up brings;"
                " `make setup SITE=hospital`, or take the form safetensors, which needs none"
            ) from error

    @abstractmethod
    def write(self, content: Content) -> bytes:
        """The file."""

    @abstractmethod
    def recognises(self, data: bytes) -> bool:
        """Whether a file begins as one of this form."""

    @abstractmethod
    def description(self, data: bytes) -> bytes:
        """What a file says of itself; raises EvidenceRejected."""

    @abstractmethod
    def tensors(self, data: bytes, network: Network) -> Tensors:
        """The network's parameters in a file; raises EvidenceRejected where one is missing or has another shape."""
