"""DVC's remote on each server, through the guard."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.evidence.canonical import sha256
from pipeline.site.identity import StoreCredentials
from pipeline.store import policies
from pipeline.store.object_keys import DVC
from pipeline.study_repository.repository import Remote, _track
from tests.support.minio import StoreServer

_LARGE = 104 * 2**20
"""More than what DVC sends as one object."""


def test_dvc_pushes_models_whole_and_in_parts(server: StoreServer, tmp_path: Path) -> None:
    provider = StoreCredentials.generate("provider-of-dvc")
    server.administrator.admit(provider, policies.provider())
    models = {sha256(data): data for data in (b"a small model", os.urandom(_LARGE))}
    before = server.as_root().list(DVC, "")
    pointers = _track(tmp_path, models, Remote(server.endpoint, provider))
    assert len(pointers) == len(models)
    new = set(server.as_root().list(DVC, "")) - set(before)
    assert sorted(item.size for item in new) == sorted(len(data) for data in models.values())
