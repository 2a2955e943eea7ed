"""What the generators share: whom they make records for, and where those go."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.datasets.records import records_folder
from pipeline.errors import Misconfigured
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings


@dataclass(frozen=True)
class Hospital:
    """One that wants records."""

    number: int
    """Its place on the command line, from 0: devices and archives differ by it."""
    name: str
    home: Path
    """Its private folder."""
    folder: Path
    """Where its records of the study go."""
    rng: np.random.Generator


def write_for_all(study: str, summary: str, make: Callable[[Hospital], int]) -> None:
    """Make records for the hospitals that the command line names; `make` returns how many it made.

    Ends with 2 and makes none where one of them is no member of this installation.
    """
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("hospitals", nargs="+", metavar="HOSPITAL", help="names of hospitals of this installation")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other patients (without it 1)")
    asked = parser.parse_args()
    settings = Settings.load()
    try:
        members = Consortium.load(settings.consortium)
        for name in asked.hospitals:
            members.hospital(name)
    except Misconfigured as error:
        parser.error(str(error))
    for number, name in enumerate(asked.hospitals):
        home = settings.hospital(name)
        folder = records_folder(home, study)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rng = np.random.default_rng([asked.seed, zlib.crc32(name.encode())])
        print(f"{make(Hospital(number, name, home, folder, rng))} records of {study} for {name}")
