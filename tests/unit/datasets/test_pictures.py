"""A file as devices and archives drop it: what is done with each kind, by the levels that come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examples.dicom import compress
from pipeline.datasets.picture import NoPicture, Picture, Window
from pipeline.datasets.picture_files import picture
from tests.support.pictures import CANARY, colour_dicom, dicom, png

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOURS = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)
SMOOTH = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint16) * 64
"""12 bits, and a size that every compression takes."""
SMOOTH_COLOURS = np.stack([SMOOTH // 16, 255 - SMOOTH // 16, SMOOTH // 32], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("pixels", [GREY, COLOURS], ids=["grey", "colour"])
def test_a_file_without_loss_is_read_pixel_by_pixel(kind: str, pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "IM0001", format=kind, lossless=True)
    shown = picture(tmp_path / "IM0001")
    np.testing.assert_array_equal(shown.pixels, pixels)
    assert shown.channels == (1 if pixels.ndim == 2 else 3)


def test_a_jpeg_file_is_read_in_grey_and_in_colour(tmp_path: Path) -> None:
    grey = (SMOOTH // 16).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey", format="JPEG", quality=100)
    np.testing.assert_allclose(picture(tmp_path / "grey").pixels, grey, atol=2)
    Image.fromarray(SMOOTH_COLOURS).save(tmp_path / "colours", format="JPEG", quality=100, subsampling=0)
    np.testing.assert_allclose(picture(tmp_path / "colours").pixels.astype(int), SMOOTH_COLOURS.astype(int), atol=4)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_that_is_saved_with_more_channels_or_a_palette_counts_as_grey(mode: str, tmp_path: Path) -> None:
    shown = picture(png(tmp_path / "a", GREY, mode))
    assert shown.channels == 1
    np.testing.assert_array_equal(shown.pixels, GREY)


def test_a_palette_shows_its_colours_and_never_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 9, 9, 9])
    image.save(tmp_path / "a", format="PNG")
    assert picture(tmp_path / "a").pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [9, 9, 9]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_sixteen_bits_is_scaled_by_the_bits_that_the_study_says(kind: str, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 4095, 65535]], dtype=np.uint16)).save(tmp_path / "whole", format=kind)
    assert picture(tmp_path / "whole", bits=16).pixels.tolist() == [[0, 1, 16, 255]]
    Image.fromarray(np.array([[0, 257, 2048, 4095]], dtype=np.uint16)).save(tmp_path / "part", format=kind)
    assert picture(tmp_path / "part", bits=12).pixels.tolist() == [[0, 16, 128, 255]]
    with pytest.raises(NoPicture, match="has grey values outside the 12 bits of the study's `images`"):
        picture(tmp_path / "whole", bits=12)
    with pytest.raises(NoPicture, match="16 bits, and the study does not say how many are used: its `images` need"):
        picture(tmp_path / "part")


def test_a_tiff_file_whose_zero_is_white_is_turned_about(tmp_path: Path) -> None:
    # Pillow turns 8 bits about when it writes them, and 16 bits not.
    Image.fromarray(GREY).save(tmp_path / "a", format="TIFF", tiffinfo={262: 0})
    assert (255 - GREY).tobytes() in (tmp_path / "a").read_bytes()
    np.testing.assert_array_equal(picture(tmp_path / "a").pixels, GREY)
    Image.fromarray(np.array([[0, 95, 4095]], dtype=np.uint16)).save(tmp_path / "b", format="TIFF", tiffinfo={262: 0})
    assert picture(tmp_path / "b", bits=12).pixels.tolist() == [[255, 249, 0]]


@pytest.mark.parametrize(
    "file",
    [
        {"format": "PNG"},
        {"format": "JPEG", "quality": 100},
        {"format": "TIFF"},
        {"format": "TIFF", "compression": "tiff_lzw"},
        {"format": "WEBP", "lossless": True},
    ],
    ids=lambda file: "-".join(map(str, file.values())),
)
@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 1), (8, 3)])
def test_a_picture_is_turned_as_its_exif_orientation_says(
    orientation: int, turns: int, file: dict[str, Any], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.repeat(np.repeat(np.array([[0, 80], [160, 240]], dtype=np.uint8), 8, axis=0), 24, axis=1)
    Image.fromarray(np.rot90(upright, turns)).save(tmp_path / "a", exif=exif, **file)
    shown = picture(tmp_path / "a")
    assert shown.pixels.shape == upright.shape
    np.testing.assert_allclose(shown.pixels.astype(int), upright.astype(int), atol=2)


def several(path: Path) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(path, format="TIFF", save_all=True, append_images=frames[1:])


def glass(path: Path) -> None:
    Image.fromarray(np.dstack([COLOURS, GREY])).save(path, format="PNG")


def glass_key(path: Path) -> None:
    Image.fromarray(GREY).save(path, format="PNG", transparency=20)


def print_colours(path: Path) -> None:
    Image.fromarray(COLOURS).convert("CMYK").save(path, format="JPEG")


def deep_colours(path: Path) -> None:
    """A PNG file of 2 x 1 pixels with 16 bits of red, green and blue, whose lower bytes Pillow drops."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + struct.pack(">6H", 0, 300, 600, 900, 1200, 4095)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    body = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))


def fractions(path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32) / 255).save(path, format="TIFF")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (several, "holds more than one picture"),
        (glass, "is transparent in part"),
        (glass_key, "is transparent in part"),
        (print_colours, "has colours other than red, green and blue, as for print: save it as RGB"),
        (deep_colours, "is in colour or transparent with 16 bits a channel: save it with 8"),
        (fractions, "has grey values outside the 12 bits"),
    ],
)
def test_what_could_be_shown_only_with_a_loss_is_refused(write: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(NoPicture, match=says):
        picture(tmp_path / "a", bits=12)


def test_dicom_is_shown_from_its_darkest_to_its_brightest_value(tmp_path: Path) -> None:
    shown = picture(dicom(tmp_path / "IM0001", RAMP))
    np.testing.assert_array_equal(shown.pixels, np.rint(RAMP / 3300 * 255).astype(np.uint8))


def test_dicom_is_shown_through_its_own_window(tmp_path: Path) -> None:
    shown = picture(dicom(tmp_path / "IM0001", RAMP, WindowCenter=900, WindowWidth=600))
    assert shown.pixels[RAMP <= 600].max() == 0
    assert shown.pixels[RAMP >= 1200].min() == 255
    assert shown.pixels[RAMP == 900].tolist() == [128]  # (900 - 899.5) / 599 + 0.5, of 255


def test_a_window_wider_than_the_picture_leaves_it_as_grey_as_the_device_shows_it(tmp_path: Path) -> None:
    shown = picture(dicom(tmp_path / "a", RAMP, WindowCenter=[2048, 7], WindowWidth=[4096, 1]))
    np.testing.assert_array_equal(shown.pixels, np.rint(RAMP / 4095 * 255).astype(np.uint8))
    exact = picture(dicom(tmp_path / "b", RAMP, WindowCenter=2000, WindowWidth=4000, VOILUTFunction="LINEAR_EXACT"))
    np.testing.assert_array_equal(exact.pixels, np.rint(RAMP / 4000 * 255).astype(np.uint8))
    curved = picture(dicom(tmp_path / "c", RAMP, WindowCenter=1500, WindowWidth=1000, VOILUTFunction="SIGMOID"))
    assert curved.pixels[RAMP == 1800].tolist() == [196]  # 255 / (1 + exp(-4 * 300 / 1000))


def test_a_window_counts_in_the_values_after_the_rescale(tmp_path: Path) -> None:
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 800, "WindowWidth": 600}
    shown = picture(dicom(tmp_path / "a", RAMP, **rescaled))
    plain = picture(dicom(tmp_path / "b", RAMP, WindowCenter=900.25, WindowWidth=300.5))
    np.testing.assert_array_equal(shown.pixels, plain.pixels)


def test_a_table_of_grey_levels_is_applied_before_any_window(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 300, 12]
    table.LUTData = np.array([0, 1000, 4095, 2000], "<u2").tobytes()
    stored = np.array([300, 301, 302, 303, 0, 4000], dtype=np.uint16).reshape(1, -1)
    shown = picture(dicom(tmp_path / "a", stored, VOILUTSequence=[table], WindowCenter=1, WindowWidth=1))
    assert shown.pixels.tolist() == [[0, 62, 255, 125, 0, 125]]


def test_an_enhanced_object_s_window_lies_in_its_functional_groups(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    window = Dataset()
    window.WindowCenter = 900
    window.WindowWidth = 600
    groups = Dataset()
    groups.FrameVOILUTSequence = [window]
    shown = picture(dicom(tmp_path / "a", RAMP, SharedFunctionalGroupsSequence=[groups], NumberOfFrames=1))
    plain = picture(dicom(tmp_path / "b", RAMP, WindowCenter=900, WindowWidth=600))
    np.testing.assert_array_equal(shown.pixels, plain.pixels)


def test_a_study_s_window_makes_one_scale_of_files_that_have_others_or_none(tmp_path: Path) -> None:
    """Also of stored values that are rescaled differently."""
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 300, 12]
    table.LUTData = np.array([0, 1000, 4095, 2000], "<u2").tobytes()
    lungs = Window(-600, 1500)
    same: list[dict[str, Any]] = [
        {},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": [table]},
        {"PixelPaddingValue": 4095},
    ]
    units = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    wanted = np.rint(np.clip((RAMP - 1024.0 + 600.5) / 1499 + 0.5, 0, 1) * 255).astype(np.uint8)
    assert 0 < np.unique(wanted).size < RAMP.size
    for number, elements in enumerate(same):
        shown = picture(dicom(tmp_path / f"{number}", RAMP, **units, **elements), window=lungs)
        np.testing.assert_array_equal(shown.pixels, wanted)
    halved = dicom(tmp_path / "halved", RAMP // 2, RescaleIntercept=-1024, RescaleSlope=2)
    np.testing.assert_array_equal(picture(halved, window=lungs).pixels, wanted)


def test_what_holds_no_measured_values_is_refused_where_a_study_has_a_window(tmp_path: Path) -> None:
    with pytest.raises(NoPicture, match="is a PNG file, and the study's `window` counts in values that only DICOM"):
        picture(png(tmp_path / "a", GREY), window=Window(40, 400))
    grey_as_colours = np.repeat(GREY[..., None], 3, axis=-1)
    with pytest.raises(NoPicture, match="holds levels and no measured values"):
        picture(colour_dicom(tmp_path / "b", grey_as_colours), window=Window(40, 400))


@pytest.mark.parametrize("rescale", [{"RescaleSlope": 2}, {"RescaleIntercept": -1024}], ids=str)
def test_half_a_rescale_is_refused_since_nobody_knows_which_values_are_meant(
    rescale: dict[str, float], tmp_path: Path
) -> None:
    with pytest.raises(NoPicture, match="has one of rescale slope and intercept without the other"):
        picture(dicom(tmp_path / "a", RAMP, **rescale))


def test_dicom_whose_zero_is_white_is_turned_about(tmp_path: Path) -> None:
    plain = picture(dicom(tmp_path / "a", RAMP))
    inverted = picture(dicom(tmp_path / "b", RAMP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted.pixels, 255 - plain.pixels)


SIGNED = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 0.5, "WindowWidth": 401}], ids=["no window", "window"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("written", [0x8000, -32768], ids=["as unsigned", "as signed"])
def test_padding_is_black_and_leaves_the_patient_all_levels(
    written: int, photometric: str, window: dict[str, float], tmp_path: Path
) -> None:
    pixels = np.array([[-32768, -200, -100, 0, 100, 200, -32768]], dtype=np.int16)
    from pydicom.dataelem import DataElement

    path = dicom(
        tmp_path / "a",
        pixels,
        **SIGNED,
        **window,
        PhotometricInterpretation=photometric,
    )
    import pydicom

    file = pydicom.dcmread(path)
    file.add(DataElement("PixelPaddingValue", "US" if written > 0 else "SS", written))
    file.save_as(path)
    tissue = np.rint((pixels[0, 1:-1].astype(float) + 200) / 400 * 255).astype(int)
    if photometric == "MONOCHROME1":
        tissue = np.rint(255 - (pixels[0, 1:-1].astype(float) + 200) / 400 * 255).astype(int)
    assert picture(path).pixels[0].tolist() == [0, *tissue, 0]


def test_padding_may_be_a_range_and_lie_above_the_bits_that_hold_values(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2, 1000, 3000]], dtype=np.uint16)
    ranged = picture(dicom(tmp_path / "a", pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=2))
    assert ranged.pixels.tolist() == [[0, 0, 0, 0, 255]]
    above = np.array([[0, 0x8000, 1000, 4000]], dtype=np.uint16)
    shown = picture(dicom(tmp_path / "b", above, PixelPaddingValue=0x8000, PhotometricInterpretation="MONOCHROME1"))
    assert shown.pixels.tolist() == [[255, 0, 191, 0]]


def palette(bits: int, red: list[int], green: list[int], blue: list[int]) -> dict[str, Any]:
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "BitsStored": 8, "HighBit": 7}
    for colour, entries in (("Red", red), ("Green", green), ("Blue", blue)):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(entries), 0, bits]
        elements[f"{colour}PaletteColorLookupTableData"] = np.array(entries, f"<u{bits // 8}").tobytes()
    return elements


def test_a_palette_of_a_dicom_file_shows_its_colours_and_never_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2, 3]], dtype=np.uint16)
    shown = picture(
        dicom(tmp_path / "a", indices, **palette(16, [0xFF00, 0, 512, 0], [0, 0xFFFF, 0, 0], [0, 0, 0, 256]))
    )
    assert shown.pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [2, 0, 0], [0, 0, 1]]]
    inverting = list(range(255, -1, -1))
    shown = picture(dicom(tmp_path / "b", indices, **palette(8, inverting, inverting, inverting)))
    assert shown.pixels.tolist() == [[255, 254, 253, 252]]


def test_colours_of_a_dicom_file_are_red_green_and_blue(tmp_path: Path) -> None:
    np.testing.assert_array_equal(picture(colour_dicom(tmp_path / "a", COLOURS)).pixels, COLOURS)
    planes = np.moveaxis(COLOURS, -1, 0).tobytes()
    shown = picture(colour_dicom(tmp_path / "b", COLOURS, PlanarConfiguration=1, PixelData=planes))
    np.testing.assert_array_equal(shown.pixels, COLOURS)
    grey = np.repeat(GREY[..., None], 3, axis=-1)
    assert picture(colour_dicom(tmp_path / "c", grey)).channels == 1
    # Y 76, Cb 85, Cr 255: red
    red = np.full((2, 2, 3), (76, 85, 255), np.uint8)
    shown = picture(colour_dicom(tmp_path / "d", red, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(shown.pixels.astype(int), np.full((2, 2, 3), (254, 0, 0)), atol=1)


WITHOUT_LOSS = [
    "DeflatedExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "ImplicitVRLittleEndian",
    "RLELossless",
    "JPEGLosslessProcess14",
    "JPEGLosslessProcess14_1",
    "JPEGLSLossless",
    "JPEG2000Lossless",
]


@pytest.mark.parametrize("syntax", WITHOUT_LOSS)
def test_a_compression_without_loss_gives_the_very_pixels(syntax: str, tmp_path: Path) -> None:
    grey = dicom(tmp_path / "a", SMOOTH)
    shown = picture(compress(tmp_path / "b", grey, syntax))
    np.testing.assert_array_equal(shown.pixels, picture(grey).pixels)
    if syntax != "ExplicitVRBigEndian":  # GDCM swaps the bytes of its colours
        colours = colour_dicom(tmp_path / "c", SMOOTH_COLOURS)
        np.testing.assert_array_equal(picture(compress(tmp_path / "d", colours, syntax)).pixels, SMOOTH_COLOURS)


@pytest.mark.parametrize("syntax", ["JPEGExtendedProcess2_4", "JPEGLSNearLossless", "JPEG2000"])
def test_a_compression_with_a_loss_stays_near(syntax: str, tmp_path: Path) -> None:
    grey = dicom(tmp_path / "a", SMOOTH)
    shown = picture(compress(tmp_path / "b", grey, syntax))
    np.testing.assert_allclose(shown.pixels.astype(int), picture(grey).pixels.astype(int), atol=4)


@pytest.mark.parametrize("syntax", [None, "ImplicitVRLittleEndian", "ExplicitVRBigEndian"])
def test_a_dicom_file_without_preamble_is_one_too(syntax: str | None, tmp_path: Path) -> None:
    grey = dicom(tmp_path / "a", RAMP)
    whole = (compress(tmp_path / "b", grey, syntax) if syntax else grey).read_bytes()
    (tmp_path / "c").write_bytes(whole[132:])
    np.testing.assert_array_equal(picture(tmp_path / "c").pixels, picture(grey).pixels)
    # Without the group that names the transfer syntax, of which the first element holds the length.
    (tmp_path / "d").write_bytes(whole[132 + 12 + int.from_bytes(whole[140:144], "little") :])
    np.testing.assert_array_equal(picture(tmp_path / "d").pixels, picture(grey).pixels)


def test_a_compressed_file_that_does_not_say_how_is_refused(tmp_path: Path) -> None:
    whole = compress(tmp_path / "a", dicom(tmp_path / "b", SMOOTH), "JPEGLosslessProcess14_1").read_bytes()
    (tmp_path / "c").write_bytes(whole[132 + 12 + int.from_bytes(whole[140:144], "little") :])
    with pytest.raises(NoPicture, match="does not say how its pixels are compressed: export it again"):
        picture(tmp_path / "c")


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"NumberOfFrames": 2, "PixelData": RAMP.astype("<u2").tobytes() * 2}, "holds more than one picture"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "a photometric interpretation that is neither grey"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a damaged DICOM file"),
        ({"PixelData": b""}, "is a DICOM file without pixels"),
        ({"WindowCenter": 900, "WindowWidth": 0}, "a window or table of grey levels that does not fit"),
    ],
)
def test_a_dicom_file_that_cannot_be_shown_says_why(elements: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(NoPicture, match=says):
        picture(dicom(tmp_path / "a", RAMP, **elements))


def test_colour_of_more_than_eight_bits_is_refused(tmp_path: Path) -> None:
    deep = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelData": COLOURS.astype("<u2").tobytes()}
    with pytest.raises(NoPicture, match="is in colour with other than 8 bits a channel"):
        picture(colour_dicom(tmp_path / "a", COLOURS, **deep))


def test_of_a_dicom_file_the_patient_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom

    kept = []
    original = pydicom.dcmread

    def spy(*arguments: object, **options: object) -> object:
        kept.append(original(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr(pydicom, "dcmread", spy)
    picture(dicom(tmp_path / "a", RAMP))
    (read,) = kept
    assert CANARY not in str(read)
    assert "PatientName" not in read


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no PNG, JPEG, TIFF, BMP, WebP or DICOM file"),
        (b"GIF89a" + CANARY.encode(), "is no PNG, JPEG, TIFF, BMP, WebP or DICOM file"),
        (b"\xff\xd8\xff\xe0 JFIF " + CANARY.encode(), "is a JPEG file that is damaged, too large or of an unusual"),
        (b"\x89PNG\r\n\x1a\n" + CANARY.encode(), "is a PNG file that is damaged, too large or of an unusual kind"),
        (b"RIFF\x10\0\0\0WAVE" + CANARY.encode(), "is a WebP file that is damaged"),
        (b"\0" * 128 + b"DICM" + CANARY.encode(), "is a damaged DICOM file|is a DICOM file without pixels"),
        (b"\x08\0\x05\0CS" + CANARY.encode() * 20, "is a damaged DICOM file|is a DICOM file without pixels"),
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
    from pydicom.uid import HTJ2K

    file = pydicom.dcmread(dicom(tmp_path / "a", RAMP))
    file.file_meta.TransferSyntaxUID = HTJ2K
    file.PixelData = encapsulate([b"compressed"])
    file["PixelData"].VR = "OB"
    file.save_as(tmp_path / "b", enforce_file_format=True)
    with pytest.raises(NoPicture, match="whose compression this machine cannot read: export it uncompressed"):
        picture(tmp_path / "b")


def test_a_picture_is_cut_about_its_middle_and_averaged_down() -> None:
    pixels = np.array([[9, 0, 100, 9], [9, 200, 100, 9]], dtype=np.uint8)
    assert Picture(pixels).fitted(1, 1, 1).tolist() == [[[100]]]
    tall = np.repeat(np.array([[7], [7], [50], [50], [7], [7]], dtype=np.uint8), 2, axis=1)
    assert Picture(tall).fitted(1, 2, 2).tolist() == [[[50, 50], [50, 50]]]
    assert Picture(np.zeros((1, 40), np.uint8)).fitted(1, 28, 28).shape == (1, 28, 28)
    assert Picture(pixels).fitted(3, 1, 1).tolist() == [[[100]]] * 3
    colours = np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)
    assert Picture(colours).fitted(3, 1, 1).tolist() == [[[100]], [[155]], [[50]]]


def test_a_picture_of_one_colour_has_no_contrast() -> None:
    red = np.full((4, 4, 3), (255, 0, 9), np.uint8)
    assert Picture.of(red).measures == {"darkest": 0, "brightest": 255, "contrast": 0, "height": 4, "width": 4}
    red[0, 0, 1] = 30
    assert Picture.of(red).measures["contrast"] == 30


def test_a_decoder_that_ends_or_never_ends_costs_one_file_and_not_the_process_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    import psutil

    from pipeline.datasets import gdcm_process

    path = compress(tmp_path / "a", dicom(tmp_path / "b", SMOOTH), "JPEGLosslessProcess14_1")
    whole = picture(path).pixels
    (child,) = (one for one in psutil.Process().children() if gdcm_process.__name__ in one.cmdline())
    os.kill(child.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(gdcm_process, "_SECONDS", 0.1)
        with pytest.raises(NoPicture, match="is a damaged DICOM file"):
            picture(path)
    assert not child.is_running()
    np.testing.assert_array_equal(picture(path).pixels, whole)
    (child,) = (one for one in psutil.Process().children() if gdcm_process.__name__ in one.cmdline())
    child.kill()
    child.wait()
    np.testing.assert_array_equal(picture(path).pixels, whole)


def test_a_compressed_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    whole = compress(tmp_path / "a", dicom(tmp_path / "b", SMOOTH), "JPEG2000Lossless").read_bytes()
    (tmp_path / "a").write_bytes(whole[:-40])
    with pytest.raises(NoPicture, match=r"is a damaged DICOM file|is a DICOM file without pixels"):
        picture(tmp_path / "a")
