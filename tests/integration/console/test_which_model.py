"""The drop zone in a real browser: a file is hashed there, and only its digest is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipeline.domain import RoundId
from pipeline.store import object_keys
from tests.support.browser import chromium
from tests.support.console import AUDITOR, served
from tests.support.consortia import Site

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.chromium]


def test_a_file_is_hashed_in_the_browser_and_named_or_refused(town: Site, finished: RoundId, tmp_path: Path) -> None:
    digest = town.record(finished)["new_model"]
    place = object_keys.model()
    model = tmp_path / "model.safetensors"
    changed = tmp_path / "changed.safetensors"
    model.write_bytes(town.store().get(place.bucket, place.key(digest), digest))
    changed.write_bytes(model.read_bytes()[:-1] + b"\x07")
    with served(town.settings, AUDITOR) as address, chromium() as browser:
        page = browser.new_page()
        sent: list[int] = []
        page.on("request", lambda request: sent.append(len(request.post_data_buffer or b"")))
        page.goto(f"{address}/which-model")
        page.get_by_label("Model file").set_input_files(model)
        expect(page.get_by_text(f"This is the model of round {finished}")).to_be_visible()
        assert page.get_by_label("Its SHA-256 digest").input_value() == digest
        page.get_by_label("Model file").set_input_files(changed)
        expect(page.get_by_text("This is the model of no round.")).to_be_visible()
        assert set(sent) == {0}

        without = browser.new_context(java_script_enabled=False).new_page()
        without.goto(f"{address}/which-model")
        expect(without.get_by_label("Model file")).to_be_hidden()
        without.get_by_label("Its SHA-256 digest").fill(digest)
        without.get_by_label("Its SHA-256 digest").press("Enter")
        expect(without.get_by_text(f"This is the model of round {finished}")).to_be_visible()
