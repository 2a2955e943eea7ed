"""Canaries in the records, and every secret byte of a round: found at their owner, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import DATASETS
from pipeline.datasets.base import RECORDS, Records
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import DataRejected
from pipeline.mpc import sharing
from pipeline.round.custody import Custody
from pipeline.site.identity import Identity
from tests.adversary import attack
from tests.support.canaries import contents, versions
from tests.support.consortia import HOSPITALS, Site
from tests.support.dealers import shared_vector
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]

ASTER = HOSPITALS[0]
FERN = HOSPITALS[5]
SIX = list(HOSPITALS[:6])

_SAMPLE_BYTES = 64
"""Of a long secret so many bytes are looked for, from several places."""


@dataclass
class Search:
    """What must not be found, by name, with the folders of its owner where it may be."""

    needles: dict[str, tuple[bytes, tuple[Path, ...]]] = field(default_factory=dict)

    def add(self, name: str, data: bytes, *owners: Path) -> None:
        assert len(set(data)) >= 4, f"{name} is too plain to look for"
        self.needles[name] = (data, owners)

    def add_vector(self, name: str, data: bytes, *owners: Path) -> None:
        """A long secret, by pieces from all along it."""
        for place in range(0, len(data) - _SAMPLE_BYTES, max(_SAMPLE_BYTES, len(data) // 16)):
            piece = data[place : place + _SAMPLE_BYTES]
            if len(set(piece)) >= 8:
                self.add(f"{name} at byte {place}", piece, *owners)

    def found(self, where: str, data: bytes, path: Path | None = None) -> list[str]:
        return [
            f"{name} in {where}"
            for name, (needle, owners) in self.needles.items()
            if needle in data and not (path and any(path.is_relative_to(owner) for owner in owners))
        ]


def hits(site: Site, search: Search, *said: str) -> list[str]:
    """Every needle in every file of the installation, object version, git object of the study repository.

    Also what was said.
    """
    found = [hit for text in said for hit in search.found("what was said", text.encode())]
    for path, data in contents(site.settings.home):
        found += search.found(str(path.relative_to(site.settings.home)), data, path)
    # Not DVC's own objects: their keys say nothing, and their bytes lie in MinIO's folder, which was searched above.
    objects = list(versions(site))
    for name, data in objects:
        found += search.found(name, data) + search.found("a key", name.encode())
    assert len(objects) > 50
    git = ["git", "-C", str(site.settings.records), "cat-file", "--batch", "--batch-all-objects"]
    history = subprocess.run(git, capture_output=True, check=True).stdout
    assert history
    return found + search.found("the study repository", history)


def own(site: Site, name: HospitalName) -> tuple[Path, ...]:
    """Where a hospital's records may be found."""
    return tuple(site.settings.hospital(name) / folder for folder in ("data", "docs"))


def play_to_the_record(site: Site, play: Play, search: Search) -> RoundId:
    """A whole round, with every secret that it makes noted while it can be seen."""
    round_id = play.open()
    for node in play.study.nodes:
        home = site.settings.node(node)
        custody = Custody(home, round_id)
        search.add(f"sealing key of {node}", bytes(custody.sealing_key()), home)
        search.add(f"key of what {node} keeps", custody.keep().key.reveal(), home)
    play.hospitals(round_id)
    for name in play.study.hospitals:
        if name not in play.absences:
            ctx = site.hospital_context(play, round_id, name)
            home = site.settings.hospital(name)
            vector = shared_vector(ctx)
            search.add_vector(f"update of {name}", vector[: play.study.network.size].astype("<i8").tobytes(), home)
            search.add_vector(
                f"validation samples of {name}", vector[play.study.network.size :].astype("<i8").tobytes(), home
            )
            components = sharing.share(vector, len(play.study.nodes), ctx.worker.identity.sharing_secret, ctx.context)
            for index, component in enumerate(components):
                search.add_vector(f"component {index} of {name}", component.astype("<i8").tobytes())
    play.decide(round_id)
    play.provider("record", round_id)
    return round_id


def add_lasting_secrets(site: Site, play: Play, search: Search) -> None:
    """Keys and credentials of every actor."""
    hospitals = map(site.settings.hospital, play.study.hospitals)
    nodes = map(site.settings.node, play.study.nodes)
    for home in (*hospitals, *nodes, site.settings.provider):
        key = Identity.load(home).key.account.key
        search.add(f"signing key of {home.name}", bytes(key), home)
        search.add(f"signing key of {home.name} in hexadecimal", bytes(key).hex().encode(), home)
        secret = json.loads((home / "store-credentials.json").read_bytes())["secret_key"]
        # MinIO keeps its half of an actor's access in its own configuration, and DVC the provider's in a file that git
        # ignores.
        counterparts = [site.settings.home / "minio" / ".minio.sys" / "config"]
        if home == site.settings.provider:
            counterparts.append(site.settings.records / ".dvc" / "config.local")
        search.add(f"store credentials of {home.name}", secret.encode(), home, *counterparts)
        if (home / "sharing-secret").exists():
            search.add(f"sharing secret of {home.name}", (home / "sharing-secret").read_bytes(), home)
            search.add(
                f"sharing secret of {home.name} in hexadecimal",
                (home / "sharing-secret").read_bytes().hex().encode(),
                home,
            )
        if (home / "tls").exists():
            search.add(f"TLS key of {home.name}", (home / "tls" / "key.pem").read_bytes().splitlines()[1], home)


@pytest.fixture
def planted_rows(site: Site) -> Iterator[Search]:
    """A canary in a column, an id and a patient of Aster's table, and a record of Fern's that breaks the contract."""
    search = Search()
    kept = {}
    for name, cell in ((ASTER, "17.907177117"), (FERN, "-907.177117")):
        path = records_folder(site.settings.hospital(name), "breast_cancer") / RECORDS
        kept[path] = path.read_text()
        header, record, *others = kept[path].splitlines()
        canary = f"canary-of-{name}"
        patient = f"patient-canary-{name}"
        rows = [",".join([canary, "train", cell, *record.split(",")[3:]]), *others]
        # Every patient has two records.
        split = [row.split(",")[1] for row in rows]
        whose = [f"{patient}-{part}-{split[:place].count(part) // 2}" for place, part in enumerate(split)]
        path.write_text("\n".join([f"patient,{header}", *map(",".join, zip(whose, rows, strict=True))]) + "\n")
        search.add(f"value of {name}", cell[:9].encode(), *own(site, name))
        search.add(f"value of {name} as a double", np.float64(cell).tobytes(), *own(site, name))
        search.add(f"record id of {name}", canary.encode(), *own(site, name))
        search.add(f"patients of {name}", patient.encode(), site.settings.hospital(name) / "data")
    yield search
    for path, text in kept.items():
        path.write_text(text)


@attack(
    by="store_operator",
    to="learn",
    tries="to find a patient's value, an id or a secret in all that a round leaves behind",
    costs="nothing",
    seen="nothing",
)
def test_no_value_or_id_of_a_table_and_no_secret_of_a_round_is_found_away_from_its_owner(
    site: Site, planted_rows: Search, capfd: pytest.CaptureFixture[str]
) -> None:
    play = site.play("canary_rows", hospitals=SIX)
    add_lasting_secrets(site, play, planted_rows)
    round_id = play_to_the_record(site, play, planted_rows)

    assert site.record(round_id)["absent"] == {FERN: "invalid_data"}
    the_owner_has_it(site, "breast_cancer", b"canary-of-aster")
    the_owner_has_it(site, "breast_cancer", b"patient-canary-aster")
    raised = "".join("".join(traceback.format_exception(error)) for error in play.absences.values())
    assert isinstance(play.absences[FERN], DataRejected)
    assert hits(site, planted_rows, raised, *capfd.readouterr()) == []


def the_owner_has_it(site: Site, dataset: str, needle: bytes) -> None:
    assert needle in (records_folder(site.settings.hospital(ASTER), dataset) / RECORDS).read_bytes()


@pytest.fixture
def planted_images(site: Site) -> Search:
    """X-rays made up for the test: bright is pneumonia.

    Aster's first carries a row of canary pixels, Fern has a blank one.
    """
    source = DATASETS["pneumonia"]
    search = Search()
    row = np.array([7, 201, 13, 251, 66, 190, 34, 129, 3, 222, 91, 17, 240, 58] * 2, np.uint8)
    for place, name in enumerate(SIX):
        generator = np.random.default_rng(place)
        labels = np.arange(80) % 2
        values = np.clip(generator.normal(90 + 60 * labels[:, None, None], 40, (80, 28, 28)), 0, 255).astype(np.uint8)
        if name == ASTER:
            values[:60, 14] = row
        if name == FERN:
            values[0] = 0
        records = Records(
            np.array([f"xray-canary-{name}-{number}" for number in range(80)]), values, labels.astype(np.int64)
        )
        train = np.arange(60)
        test = np.arange(60, 80)
        source.write(records_folder(site.settings.hospital(name), "pneumonia"), records[train], records[test])
        search.add(f"record ids of {name}", f"xray-canary-{name}".encode(), *own(site, name))
    folders = own(site, ASTER)
    encoded = row.astype(np.int64) - 128
    search.add("pixels", row.tobytes(), *folders)
    search.add("pixels about grey", encoded.astype("<i2").tobytes(), *folders)
    search.add("pixels as words", encoded.astype("<i8").tobytes(), *folders)
    search.add("pixels as text", b"7, 201, 13, 251", *folders)
    return search


@attack(
    by="provider",
    to="learn",
    tries="to find pixels or names of images in logs, errors, store and ledger",
    costs="nothing",
    seen="nothing",
)
def test_no_pixel_or_id_of_an_image_is_found_away_from_its_owner(
    site: Site, planted_images: Search, capfd: pytest.CaptureFixture[str]
) -> None:
    play = site.play(
        "canary_images", dataset="pneumonia", hospitals=SIX, model=[{"Flatten": {}}, {"Linear": {"out_features": 2}}]
    )
    round_id = play_to_the_record(site, play, planted_images)

    assert site.record(round_id)["absent"] == {FERN: "invalid_data"}
    the_owner_has_it(site, "pneumonia", b"xray-canary-aster")
    raised = "".join("".join(traceback.format_exception(error)) for error in play.absences.values())
    assert hits(site, planted_images, raised, *capfd.readouterr()) == []
