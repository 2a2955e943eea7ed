"""TorchScript: a zip file of code and tensors that `torch.jit.load` runs, and that nobody here loads."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from typing import ClassVar

import numpy as np

from pipeline.errors import EvidenceRejected, Refused
from pipeline.export.content import Content
from pipeline.export.forms.base import Form, FormName, Tensors
from pipeline.layers import Network

_DESCRIPTION = "wardround.json"
_FOLDER = "archive"
_MOST_DIRECTORY = 1 << 20
"""Bytes of an archive's directory, all of which Python's reader takes into memory, each entry as an object."""
_END, _LARGE_END = b"PK\x05\x06", b"PK\x06\x07"
_TIME = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = (".debug_pkl", "/.data/serialization_id")
"""Entries that name files of this machine, or are a digest of those."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)
"""What Python's reader of zip files raises."""


class TorchScript(Form):
    """Torch's own archive, for C++ and Python without this code."""

    name: ClassVar[FormName] = "torchscript"
    file: ClassVar[str] = "model.pt"
    library: ClassVar[str] = "pytorch"
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def write(self, content: Content) -> bytes:
        """The traced graph; its archive anew, each entry as it is, and none that tells of this machine.

        Raises Refused for a study with a backbone.
        """
        if content.approved.backbone is not None:
            raise Refused(
                "torchscript: got a study with a backbone, which is a file of ONNX; take the form onnx, which joins"
                " both, or safetensors, which has the trained layers alone"
            )
        import torch

        from pipeline.export.graph import Whole, example

        archive = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would rather have another form
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                Whole(content).eval(), (example(content),), check_trace=False
            )
            torch.jit.save(traced, archive, _extra_files={_DESCRIPTION: content.description(self.made_with)})
        written = io.BytesIO()
        with zipfile.ZipFile(archive) as made, zipfile.ZipFile(written, "w") as anew:
            for entry in made.infolist():
                if not entry.filename.endswith(_LEFT_OUT):
                    anew.writestr(zipfile.ZipInfo(entry.filename, _TIME), made.read(entry))
        return written.getvalue()

    def recognises(self, data: bytes) -> bool:
        """As every zip file."""
        return data.startswith(b"PK\x03\x04")

    def description(self, data: bytes) -> bytes:
        """The further file that we put into the archive."""
        return _entry(data, f"extra/{_DESCRIPTION}")

    def tensors(self, data: bytes, network: Network) -> Tensors:
        """The first tensors, in torch's order: those of the network, whose module comes first."""
        tensors = {}
        for index, parameter in enumerate(network.parameters):
            numbers = _entry(data, f"data/{index}")
            if len(numbers) != 4 * math.prod(parameter.shape):
                raise EvidenceRejected(
                    f"graph: got {len(numbers)} bytes of weights {parameter.name}, want float32 of shape"
                    f" {parameter.shape}"
                )
            tensors[parameter.name] = np.frombuffer(numbers, dtype="<f4").reshape(parameter.shape)
        return tensors


def _entry(data: bytes, name: str) -> bytes:
    _refuse_crowded(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entry = archive.getinfo(f"{_FOLDER}/{name}")
            # Stored as it is: nothing that is larger unpacked than packed.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise EvidenceRejected(f"{name}: got a packed entry, want it as it is")
            return archive.read(entry)
    except KeyError as error:
        raise EvidenceRejected(f"got an archive without {name}") from error
    except _DAMAGED as error:
        raise EvidenceRejected(f"got {len(data)} bytes that are no whole archive; fetch it again") from error


def _refuse_crowded(data: bytes) -> None:
    """Raise EvidenceRejected unless the archive ends as ours do: with a small directory, and no comment."""
    end = data[-22:]
    if (
        end[:4] != _END
        or int.from_bytes(end[12:16], "little") > _MOST_DIRECTORY
        or data[-42:-38] == _LARGE_END  # another directory, which would count in its place
    ):
        raise EvidenceRejected(f"got {len(data)} bytes that do not end as an archive of few entries; fetch it again")
