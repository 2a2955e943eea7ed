"""JSON text, its canonical bytes and their digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.evidence.canonical import canonical_json, read_json, sha256
from tests.vectors.files import Given

ABOUT = (
    "given.json is JSON text in any spelling; want.canonical the text in canonical form"
    " (pipeline/evidence/canonical.py: keys sorted by code points, no white space, no escapes but those that JSON"
    " demands, integers of any size), want.sha256 the digest of its UTF-8 bytes"
)

_TEXTS = {
    "null": "null",
    "keys_sorted_in_every_object": '{"b": {"d": 1, "c": 2}, "a": [ {"z": true, "y": false} ]}',
    "upper_case_before_lower": '{"a": 1, "B": 2, "_": 3, "1": 4}',
    "keys_by_code_points_not_utf16": '{"\\ud83d\\ude00": "beyond the BMP", "\\uffee": "within"}',
    "no_escapes_but_those_demanded": '"\\u0022 \\u005c \\u002f \\u00e4 \\u2028 \\u007f \\ud83d\\ude00"',
    "control_characters": '"\\u0000 \\u0008 \\u0009 \\u000a \\u000b \\u000c \\u000d \\u001f"',
    "text_is_not_normalised": '["\\u00e9", "e\\u0301"]',
    "integers_beyond_2_to_the_53": f"[{2**53 + 1}, {2**256 - 1}]",
    "negative_integers": "[-1, -9223372036854775808]",
    "minus_zero": "-0",
    "empty": '{"": "", "list": [], "object": {}}',
    "of_two_equal_keys_the_last_counts": '{"a": 1, "a": 2}',
    "nested_200_levels": "[" * 200 + "1" + "]" * 200,
}
_BAD = {
    "bad_float": "[1.5]",
    "bad_whole_float": "1.0",
    "bad_exponent": "1e2",
    "bad_nan": "NaN",
    "bad_infinity": "[-Infinity]",
    "bad_nested_201_levels": "[" * 201 + "1" + "]" * 201,
    "bad_lone_surrogate": '"\\ud83d"',
    "bad_trailing_comma": "[1,]",
    "bad_two_values": "1 2",
    "bad_leading_zero": "01",
    "bad_nothing": "",
}
_FLOATS = ("bad_float", "bad_whole_float", "bad_exponent")
REFUSED = dict.fromkeys(_BAD, "bytes that are no JSON") | dict.fromkeys(_FLOATS, "canonical JSON takes no float")


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    return {name: {"json": text} for name, text in (_TEXTS | _BAD).items()}


def answer(given: Given) -> dict[str, Any]:
    canonical = canonical_json(read_json(given["json"].encode()))
    return {"canonical": canonical.decode(), "sha256": sha256(canonical)}
