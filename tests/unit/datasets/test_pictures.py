"""One picture as a device drops it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import picture_files
from pipeline.datasets.picture_files import NoPicture, Picture, picture
from tests.support.pictures import CANARY, dicom, png

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300


def test_a_grey_png_is_read_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    found = picture(png(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.channels, found.frames) == (1, 1)


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    found = picture(png(tmp_path / "a.png", np.array([[0, 257, 65535]], dtype=np.uint16)))
    assert found.pixels.tolist() == [[0, 1, 255]]


def test_a_colour_picture_says_how_many_channels_it_has(tmp_path: Path) -> None:
    assert picture(png(tmp_path / "a.png", np.zeros((3, 4), np.uint8), "RGB")).channels == 3


def test_dicom_is_shown_from_its_darkest_to_its_brightest_value(tmp_path: Path) -> None:
    found = picture(dicom(tmp_path / "IM0001", RAMP))
    np.testing.assert_array_equal(found.pixels, np.rint(RAMP / 3300 * 255).astype(np.uint8))


def test_dicom_is_shown_through_its_own_window(tmp_path: Path) -> None:
    found = picture(dicom(tmp_path / "IM0001", RAMP, WindowCenter=900, WindowWidth=600))
    assert found.pixels[RAMP <= 600].max() == 0
    assert found.pixels[RAMP >= 1200].min() == 255


def test_dicom_whose_zero_is_white_is_turned_about(tmp_path: Path) -> None:
    plain = picture(dicom(tmp_path / "a", RAMP))
    inverted = picture(dicom(tmp_path / "b", RAMP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted.pixels, 255 - plain.pixels)


def test_a_series_in_one_dicom_file_says_how_many_frames_it_has(tmp_path: Path) -> None:
    found = picture(dicom(tmp_path / "a", RAMP, NumberOfFrames=2, PixelData=RAMP.astype("<u2").tobytes() * 2))
    assert found.frames == 2


def test_of_a_dicom_file_the_patient_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom

    kept = []
    original = pydicom.dcmread

    def spy(*arguments: object, **options: object) -> object:
        kept.append(original(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(pydicom, "dcmread", spy)
    picture(dicom(tmp_path / "a", RAMP))
    (found,) = kept
    assert CANARY not in str(found)
    assert "PatientName" not in found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither a PNG nor a DICOM"),
        (b"\xff\xd8\xff\xe0 JFIF " + CANARY.encode(), "neither a PNG nor a DICOM"),
        (b"\x89PNG\r\n\x1a\n" + CANARY.encode(), "a damaged or too large PNG"),
        (b"\0" * 128 + b"DICM" + CANARY.encode(), "a damaged DICOM file or one without pixels"),
    ],
)
def test_another_or_a_damaged_file_is_refused_without_quoting_it(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(NoPicture, match=says) as caught:
        picture(tmp_path / "a")
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_compression_that_this_machine_cannot_read_is_said(tmp_path: Path) -> None:
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    found = pydicom.dcmread(dicom(tmp_path / "a", RAMP))
    found.file_meta.TransferSyntaxUID = JPEGLSLossless
    found.PixelData = encapsulate([b"compressed"])
    found["PixelData"].VR = "OB"
    found.save_as(tmp_path / "b", enforce_file_format=True)
    with pytest.raises(NoPicture, match="whose compression this machine cannot read; export it uncompressed"):
        picture(tmp_path / "b")


def test_a_picture_is_cut_about_its_middle_and_averaged_down() -> None:
    pixels = np.array([[9, 0, 100, 9], [9, 200, 100, 9]], dtype=np.uint8)
    assert Picture(pixels, 1, 1).fitted(1, 1).tolist() == [[100]]
    tall = np.repeat(np.array([[7], [7], [50], [50], [7], [7]], dtype=np.uint8), 2, axis=1)
    assert Picture(tall, 1, 1).fitted(2, 2).tolist() == [[50, 50], [50, 50]]
    assert picture_files.Picture(np.zeros((1, 40), np.uint8), 1, 1).fitted(28, 28).shape == (28, 28)
