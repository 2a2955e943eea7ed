"""The example of *Bring your own data* on the scale that it measures, by every actor's own steps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examples.sepsis import patients
from pipeline.datasets import records
from pipeline.datasets.base import RECORDS
from pipeline.datasets.records import records_folder
from pipeline.host.files import write_secret
from pipeline.model_file import read_model
from pipeline.site.settings import PROJECT
from pipeline.store import object_keys
from pipeline.train.network import accuracy
from tests.support.installed import HOSPITALS, Installed

PAGE = (PROJECT / "docs" / "tutorials" / "bring-your-own-data.md").read_text()
(LINES,) = re.findall(r"```yaml\n(table:.*?)```", PAGE, re.DOTALL)
FIVE = HOSPITALS[:5]
ELM = FIVE[-1]
TRAINING_ROUNDS = 8
EARLY = 3
STRIKES = 4


@pytest.fixture
def consortium(site: Installed) -> Iterator[Installed]:
    """900 patients at five hospitals, whose secrets are the same in each run; the last one flips its labels."""
    everybody = patients(900, np.random.default_rng(0))
    homes = [site.settings.hospital(name) for name in FIVE]
    kept = {home: (home / "sharing-secret").read_bytes() for home in homes}
    for index, home in enumerate(homes):
        folder = records_folder(home, "page")
        folder.mkdir(parents=True)
        everybody.iloc[index :: len(FIVE)].to_csv(folder / RECORDS, index=False)
        write_secret(home / "sharing-secret", bytes([index + 1]) * 32)
    behaviour = site.settings.hospital(ELM) / "hospital.yaml"
    before = behaviour.read_bytes() if behaviour.exists() else None
    behaviour.write_text("misbehaviour: label_flip\n")
    try:
        yield site
    finally:
        for home, secret in kept.items():
            write_secret(home / "sharing-secret", secret)
        behaviour.unlink()
        if before is not None:
            behaviour.write_bytes(before)


@pytest.mark.timeout(900)
def test_the_example_learns_as_a_regression_on_all_records_and_rejects_the_flipper_alone(consortium: Installed) -> None:
    site = consortium
    play = site.play("page", dataset="page", **yaml.safe_load(LINES), training={}, rule={})
    rounds = [play.round(f"run-{number}") for number in range(1 + TRAINING_ROUNDS)]
    measuring, *verdicts = [site.record(one)["verdicts"] for one in rounds]
    assert set(measuring.values()) == {"accepted"}
    assert [one[ELM] for one in verdicts] == ["rejected"] * STRIKES + ["absent"] * (TRAINING_ROUNDS - STRIKES)
    for one in verdicts[EARLY:]:
        assert {name for name, verdict in one.items() if verdict != "accepted"} == {ELM}
    site.audits(rounds[0])
    site.audits(rounds[-1])

    finalised = site.ledger.round(rounds[-1]).finalised
    assert finalised is not None
    model = read_model(site.board().fetch(object_keys.model(), finalised.new_model))
    study = play.study.at(model)
    others = site.settings.home / "others"
    others.mkdir()
    patients(6000, np.random.default_rng(1)).to_csv(others / RECORDS, index=False)
    test = study.source.read(others).train
    parts = [records.read(site.settings.hospital(name), study.source).train for name in FIVE]
    pooled = make_pipeline(StandardScaler(), LogisticRegression())
    pooled.fit(np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts]))
    correct, tested = accuracy(model.parameters, study.network, test)
    assert correct / tested > pooled.score(test.inputs, test.labels) - 0.02
