"""A study's backbone as a file: in the store under its digest, and in the folder of every member that approves it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipeline.datasets.backbone import backbone_path, is_at, prepared
from pipeline.datasets.backbone.graph import LARGEST_FILE
from pipeline.datasets.features import Features
from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, Misconfigured, ObjectMissing, Refused
from pipeline.host.files import write_atomic
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.objects import Store
from pipeline.study.study import Study


def publish(study: Study, studies: Path, store: Store) -> None:
    """Have the backbone in the store, from beside the study's file where it is not there yet, as the service provider.

    Raises Misconfigured where neither has it, EvidenceRejected where the file is another, or no backbone.
    """
    if study.backbone is None:
        return
    digest = study.backbone.sha256
    key_prefix = object_keys.backbone()
    key = key_prefix.key(digest)
    # A study of years ago needs no file any longer, and its name may be a later one's.
    with suppress(EvidenceRejected):
        store.get(key_prefix.bucket, key, digest, max_bytes=LARGEST_FILE)
        return
    file = studies / study.backbone.onnx
    if not file.is_file():
        raise Misconfigured(
            f"{file}: got no file, want the backbone of study {study.name}; put it there under this name, or name"
            " another one in `backbone.onnx`"
        )
    data = prepared(file, digest)
    _inspect(study, data)
    store.put_once(key_prefix.bucket, key, data)


def obtain(identity: Identity, study: Study, settings: Settings) -> None:
    """Have the backbone in the member's folder by its digest alone, from beside the study's file or from the store.

    Nothing reads it yet: `require` inspects it. Raises EvidenceRejected where neither has it.
    """
    if study.backbone is None:
        return
    digest = study.backbone.sha256
    file = backbone_path(identity.home, digest)
    if is_at(file, digest):
        return
    beside = settings.studies / study.backbone.onnx
    data = prepared(beside, digest) if is_at(beside, digest) else _fetched(identity, digest, beside.name, settings)
    write_atomic(file, data)


def require(identity: Identity, study: Study) -> None:
    """Raise Refused unless the member has the backbone, EvidenceRejected unless it is one that may be run."""
    if study.backbone is None:
        return
    try:
        data = prepared(backbone_path(identity.home, study.backbone.sha256), study.backbone.sha256)
    except Misconfigured as error:
        raise Refused(
            f"{identity.name}: study {study.name} has a backbone, {study.backbone.onnx}, which is not on this machine"
            " yet: it is fetched before it is approved"
        ) from error
    _inspect(study, data)


def _fetched(identity: Identity, digest: Sha256, name: str, settings: Settings) -> bytes:
    services = Installation.load(settings.installation)
    store = Store(services.store, identity.credentials, services.authority)
    key_prefix = object_keys.backbone()
    try:
        return store.get(key_prefix.bucket, key_prefix.key(digest), digest, max_bytes=LARGEST_FILE)
    except ObjectMissing as error:
        raise EvidenceRejected(
            f"backbone: got no object {digest[:16]} from the store, nor a file {name} with that digest beside the"
            " study; the service provider puts it there with `wardround up`, or the study names another digest than"
            " its file has"
        ) from error


def _inspect(study: Study, data: bytes) -> None:
    source = study.source
    if isinstance(source, Features):
        source.backbone.inspect(data, source.pictures.shape)
