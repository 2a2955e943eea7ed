"""GDCM's decoders in a process of their own: pixels come back, and a file that ends the process is a damaged one.

They are C++, and about one damaged file in three hundred makes them crash, which would be the worker's end. The process
is started for the first file and serves this one until it ends, since it takes half a second to come up.
"""

from __future__ import annotations

import atexit
import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

PIXEL_TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData"),
)
"""What of a DICOM file says which pixels it holds."""

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"

_ROOT = Path(__file__).parents[2]
_SECONDS = 60
"""That one picture may take: damaged ones can keep a decoder busy for ever."""
_LENGTH_BYTES = 8


class Undecodable(Exception):
    """GDCM refuses a file, crashes on it or takes too long."""


class _Decoder:
    """The child process, as its parent sees it."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=_ROOT,
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where the decoders write about a stream that they do not like
        )

    def ask(self, path: Path, correct_unused_bits: bool) -> npt.NDArray[np.generic]:
        """The stored values of a file, as pydicom's `pixel_array`; raises Undecodable."""
        requests = cast("IO[bytes]", self._process.stdin)
        replies = cast("IO[bytes]", self._process.stdout)
        timer = threading.Timer(_SECONDS, self._process.kill)
        timer.start()
        try:
            requests.write(f"{int(correct_unused_bits)}{os.fsencode(path.resolve()).hex()}\n".encode())
            requests.flush()
            body = _whole(replies, int.from_bytes(_whole(replies, _LENGTH_BYTES)))
        except (OSError, EOFError):
            self.end()
            raise Undecodable from None
        finally:
            timer.cancel()
        if not body:
            raise Undecodable
        values: npt.NDArray[np.generic] = np.load(io.BytesIO(body), allow_pickle=False)
        return values

    @property
    def serves(self) -> bool:
        """Whether it can be asked, and by this process."""
        return self.parent == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        """End the process at once."""
        if self.parent != os.getpid():
            return
        self._process.kill()
        self._process.communicate()


_one_at_a_time = threading.Lock()
_decoder: _Decoder | None = None


def decoded(path: Path, *, correct_unused_bits: bool = True) -> npt.NDArray[np.generic]:
    """The stored values of a DICOM file, (height, width) or (height, width, 3); raises Undecodable."""
    global _decoder
    with _one_at_a_time:
        if _decoder is None or not _decoder.serves:
            _decoder = _Decoder()
            atexit.register(_decoder.end)
        return _decoder.ask(path, correct_unused_bits)


def _whole(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


def main() -> None:
    """Answer each line of standard input, a path, with the length of an array in NumPy's format and its bytes."""
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whatever a decoder prints is no reply
    for line in sys.stdin.buffer:
        try:
            body = _body(Path(os.fsdecode(bytes.fromhex(line[1:].decode()))), line.startswith(b"1"))
        except Exception:  # as its caller says it: undecodable
            body = b""
        replies.write(len(body).to_bytes(_LENGTH_BYTES) + body)
        replies.flush()


def _body(path: Path, correct_unused_bits: bool) -> bytes:
    import pydicom
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    dicom = pydicom.dcmread(path, specific_tags=list(PIXEL_TAGS), force=True)
    if dicom.file_meta.TransferSyntaxUID == JPEG_EXTENDED:
        # pydicom keeps GDCM from JPEG of 12 bits by this name. The stream says its bits itself, and GDCM reads them.
        dicom.file_meta.TransferSyntaxUID = UID(JPEG_BASELINE)
    body = io.BytesIO()
    values = pixel_array(dicom, decoding_plugin="gdcm", correct_unused_bits=correct_unused_bits)
    np.save(body, values, allow_pickle=False)
    return body.getvalue()


if __name__ == "__main__":
    main()
