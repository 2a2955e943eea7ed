"""Requests without a secret: what the servers answer by themselves, and that the guard lets none of them through."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from pipeline.domain import HospitalName, NodeName
from pipeline.errors import Misconfigured, Refused, WardroundError
from pipeline.evidence.canonical import LARGEST_JSON
from pipeline.evidence.signing import LARGEST_STATEMENT
from pipeline.site.identity import StoreCredentials
from pipeline.store import policies
from pipeline.store.objects import MAX_BYTES, Store
from tests.adversary import attack
from tests.support.minio import ROOT, StoreServer

Headers = list[tuple[str, str]]

PLACES = {
    "root": "reports/anywhere/",
    "hospital-elm": "mailbox/rounds/7/hospitals/elm/to/east/",
    "node-east": "reports/rounds/7/record/",
    "provider": "reports/rounds/7/report/",
    "auditor": "reports/rounds/7/hospitals/elm/manifest/",
}
"""Where each account may write, but for the auditor, who may nowhere."""

TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
BODY = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
HELLO = hashlib.sha256(b"hello").hexdigest()


class Attempt:
    """One request of somebody who knows an account's access key and no secret."""

    def __init__(self, access_key: str, path: str, upload: str, archive: bytes) -> None:
        now = datetime.now(UTC)
        self.path = path
        self.upload = upload
        self.archive = archive
        self.scope = f"{access_key}/{now:%Y%m%d}/us-east-1/s3/aws4_request"
        self.date = f"{now:%Y%m%dT%H%M%SZ}"
        self.claimed = f"{path}?X-Amz-Credential={self.scope}"
        self.trailer: Headers = [
            ("x-amz-content-sha256", TRAILER),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-date", self.date),
        ]
        self.false = (
            "authorization",
            (
                f"AWS4-HMAC-SHA256 Credential={self.scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                f" Signature={'0' * 64}"
            ),
        )
        self.unpack = ("x-amz-meta-snowball-auto-extract", "true")
        self.tar: Headers = [("x-amz-content-sha256", TRAILER), ("x-amz-date", self.date)]
        self.plain: Headers = [("x-amz-content-sha256", HELLO), ("x-amz-date", self.date)]

    def presigned(self, digest: str) -> str:
        """With everything that a signature in the query has, which is none."""
        return (
            f"{self.claimed}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={self.date}&X-Amz-Expires=600&X-Amz-SignedHeaders=host"
            + f"&X-Amz-Signature={'0' * 64}&X-Amz-Content-Sha256={digest}"
        )


Form = Callable[[Attempt], tuple[str, str, Headers, bytes]]

UNVERIFIED: dict[str, Form] = {
    "object, credential in the query": lambda a: ("PUT", a.claimed, a.trailer, BODY),
    "object, credential in the query, encoded": lambda a: ("PUT", a.claimed.replace("Cred", "%43red"), a.trailer, BODY),
    "object, presigned in vain": lambda a: ("PUT", a.presigned(TRAILER), a.trailer, BODY),
    "part of an upload, credential in the query": lambda a: (
        "PUT",
        f"{a.claimed}&partNumber=1&uploadId={a.upload}",
        a.trailer,
        BODY,
    ),
    "archive, credential in the query": lambda a: ("PUT", a.claimed, [*a.tar, a.unpack], a.archive),
    "archive, false signature": lambda a: ("PUT", a.path, [*a.tar, a.unpack, a.false], a.archive),
    "object, odd letters": lambda a: ("PUT", a.claimed, [(name.swapcase(), value) for name, value in a.trailer], BODY),
    "object, chunks of HTTP": lambda a: (
        "PUT",
        a.claimed,
        [*a.trailer, ("transfer-encoding", "chunked")],
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    ),
    "object, whole address as target": lambda a: ("PUT", f"http://127.0.0.1{a.claimed}", a.trailer, BODY),
}
"""CVE-2026-41145 and CVE-2026-40344: the forms that they name, and ways to say the same."""

OTHERS: dict[str, Form] = {
    "object, false signature": lambda a: ("PUT", a.path, [*a.trailer, a.false], BODY),
    "object, both": lambda a: ("PUT", a.claimed, [*a.trailer, a.false], BODY),
    "object, false signature, plain": lambda a: ("PUT", a.path, [*a.plain, a.false], b"hello"),
    "object, false signature, unsigned payload": lambda a: (
        "PUT",
        a.path,
        [("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", a.date), a.false],
        b"hello",
    ),
    "object, two digests, the trailer first": lambda a: ("PUT", a.claimed, [*a.trailer, a.plain[0], a.false], BODY),
    "object, two digests, the trailer last": lambda a: ("PUT", a.claimed, [a.plain[0], *a.trailer, a.false], BODY),
    "object, two authorizations": lambda a: (
        "PUT",
        a.claimed,
        [*a.trailer, ("authorization", "Bearer x"), a.false],
        BODY,
    ),
    "object, underscores": lambda a: (
        "PUT",
        a.claimed,
        [(name.replace("-", "_"), value) for name, value in a.trailer],
        BODY,
    ),
    "object, two slashes": lambda a: ("PUT", f"/{a.claimed}", a.trailer, BODY),
    "object, beside itself": lambda a: ("PUT", f"/mailbox/../{a.claimed[1:]}", a.trailer, BODY),
    "object, semicolon": lambda a: ("PUT", f"{a.path}?versionId=null;X-Amz-Credential={a.scope}", a.trailer, BODY),
    "object, signature of version 2": lambda a: (
        "PUT",
        a.path,
        [("authorization", f"AWS {a.scope.partition('/')[0]}:AAAA"), *a.trailer],
        BODY,
    ),
    "object, version 2 in the query": lambda a: (
        "PUT",
        f"{a.path}?AWSAccessKeyId={a.scope.partition('/')[0]}&Signature=AAAA&Expires=4000000000",
        a.trailer,
        BODY,
    ),
    "object, nobody": lambda a: ("PUT", a.path, a.trailer, BODY),
    "object, nobody, plain": lambda a: ("PUT", a.path, [], b"hello"),
    "object, streamed with a signature of chunks": lambda a: (
        "PUT",
        a.claimed,
        [
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-decoded-content-length", "5"),
            a.false,
        ],
        b"5;chunk-signature=%s\r\nhello\r\n0;chunk-signature=%s\r\n\r\n" % (b"0" * 64, b"0" * 64),
    ),
    "part of an upload, false signature": lambda a: (
        "PUT",
        f"{a.path}?partNumber=1&uploadId={a.upload}",
        [*a.trailer, a.false],
        BODY,
    ),
    "part of an upload, both": lambda a: (
        "PUT",
        f"{a.claimed}&partNumber=1&uploadId={a.upload}",
        [*a.trailer, a.false],
        BODY,
    ),
    "archive, both": lambda a: ("PUT", a.claimed, [*a.tar, a.unpack, a.false], a.archive),
    "archive, false signature, plain": lambda a: (
        "PUT",
        a.path,
        [("x-amz-content-sha256", hashlib.sha256(a.archive).hexdigest()), ("x-amz-date", a.date), a.unpack, a.false],
        a.archive,
    ),
    "archive, nobody": lambda a: ("PUT", a.path, [*a.tar, a.unpack], a.archive),
    "copy, credential in the query": lambda a: (
        "PUT",
        a.claimed,
        [*a.trailer, ("x-amz-copy-source", "/models/x")],
        b"",
    ),
    "form of a page": lambda a: (
        "POST",
        a.path.rsplit("/", 1)[0],
        [("content-type", "multipart/form-data; boundary=b")],
        (
            b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
        ),
    ),
    "beginning of an upload": lambda a: ("POST", f"{a.claimed}&uploads=", a.trailer, b""),
    "object, headers to be dropped on the way": lambda a: (
        "PUT",
        a.path,
        [*a.plain, a.false, ("connection", "authorization, x-amz-content-sha256"), a.trailer[0]],
        b"hello",
    ),
    "deletion": lambda a: ("DELETE", a.claimed, a.trailer, b""),
    "new account": lambda a: (
        "PUT",
        f"/minio/admin/v3/add-user?accessKey=mallory&X-Amz-Credential={a.scope}",
        a.trailer,
        BODY,
    ),
    "new account, false signature": lambda a: (
        "PUT",
        "/minio/admin/v3/add-user?accessKey=mallory",
        [*a.plain, a.false],
        b"hello",
    ),
    "new account of versitygw": lambda a: ("PATCH", "/create-user", [*a.plain, a.false], b"hello"),
}
"""What else somebody may try."""


def archive(name: str) -> bytes:
    """A tar file with one file in it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return made.getvalue()


def answer(endpoint: str, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
    """The status of one request, sent as it stands."""
    host = urlsplit(endpoint)
    lines = [
        f"{method} {target} HTTP/1.1",
        f"host: {host.netloc}",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if not any(name.lower() == "transfer-encoding" for name, _ in headers):
        lines.append(f"content-length: {len(body)}")
    with socket.create_connection((str(host.hostname), host.port or 80), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return int(connection.makefile("rb").readline().split()[1])


def admitted(server: StoreServer) -> dict[str, StoreCredentials]:
    rights = {
        "hospital-elm": policies.hospital(HospitalName("elm")),
        "node-east": policies.node(NodeName("east")),
        "provider": policies.provider(),
        "auditor": policies.auditor(),
    }
    made = {name: StoreCredentials.generate(name) for name in rights}
    for name, credentials in made.items():
        server.administrator.admit(credentials, rights[name])
    return {"root": ROOT, **made}


@pytest.fixture(scope="module")
def accounts(server: StoreServer) -> dict[str, StoreCredentials]:
    return admitted(server)


class Target:
    """A folder that an account may write, an upload begun in it, and what came to lie there."""

    def __init__(self, server: StoreServer, account: StoreCredentials, folder: str) -> None:
        self._client = server.past_guard()._client
        self._account = account
        self._bucket, _, place = PLACES[account.actor].partition("/")
        self._prefix = f"{place}{folder}/"
        key = f"{self._prefix}{HELLO}.bin"
        self._path = f"/{self._bucket}/{key}"
        self._upload = str(self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"])
        self._part = {"Bucket": self._bucket, "Key": key, "UploadId": self._upload}

    def status(self, endpoint: str, form: Form) -> int:
        """What is answered to this form of request."""
        made = Attempt(
            self._account.access_key.text(), self._path, self._upload, archive(f"{self._prefix}unpacked.bin")
        )
        return answer(endpoint, *form(made))

    def written(self) -> bool:
        """Whether an object, an unpacked one or a part is there."""
        versions = self._client.list_object_versions(Bucket=self._bucket, Prefix=self._prefix)
        return bool(
            versions.get("Versions")
            or versions.get("DeleteMarkers")
            or self._client.list_parts(**self._part).get("Parts")
        )


@pytest.mark.parametrize("name", PLACES)
@attack(
    by="stranger",
    to="change",
    tries=(
        "to write as any account by each form of CVE-2026-41145 and CVE-2026-40344, also a part of a true upload, and"
        " by 29 more"
    ),
    costs="an account's access key, which is secret",
    seen="nothing: the guard answers 403",
)
def test_the_guard_lets_no_request_through_that_bears_no_true_signature(
    server: StoreServer, accounts: dict[str, StoreCredentials], name: str
) -> None:
    target = Target(server, accounts[name], "guarded")
    statuses = {label: target.status(server.endpoint, form) for label, form in (UNVERIFIED | OTHERS).items()}
    assert {label: status for label, status in statuses.items() if status not in (400, 403)} == {}
    assert not target.written()


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("label", UNVERIFIED)
@attack(
    by="store_operator",
    to="change",
    tries="to write past the guard, in any account's name",
    costs="being inside the store's machine",
    seen="objects that do not fit, with who could have written them",
)
def test_minio_by_itself_takes_from_anybody_what_an_account_may_write_and_versitygw_does_not(
    server: StoreServer, accounts: dict[str, StoreCredentials], label: str, name: str
) -> None:
    target = Target(server, accounts[name], f"bare-{list(UNVERIFIED).index(label)}")
    target.status(server.bare, UNVERIFIED[label])
    # Whoever may unpack an archive must be allowed to write the whole bucket, which MinIO's root account alone is.
    may = name == "root" if label.startswith("archive") else name != "auditor"
    assert target.written() == (server.kind == "minio" and may)


@pytest.mark.usefixtures("own_clients")
@pytest.mark.parametrize(
    "header",
    ["X-Amz-Meta-Snowball-Auto-Extract", "x-amz-meta-minio-snowball-prefix", "X-Minio-Source-Replication-Request"],
)
@attack(
    by="hospital",
    to="change",
    tries="to have the store unpack an archive or copy for it, by a signature that is true",
    costs="nothing",
    seen="nothing: the guard answers 403",
)
def test_even_a_true_signature_brings_no_archive_and_no_replication_through(
    server: StoreServer, accounts: dict[str, StoreCredentials], header: str
) -> None:
    store = Store(server.endpoint, accounts["hospital-elm"])
    store._client.meta.events.register(
        "before-sign.s3.PutObject", lambda request, **_: request.headers.add_header(header, "true")
    )
    with pytest.raises((Misconfigured, Refused)):
        store.put_once("mailbox", f"rounds/8/hospitals/elm/to/east/{HELLO}.bin", b"hello")


@pytest.mark.usefixtures("own_clients")
@pytest.mark.parametrize("named", ["authorization", "keep-alive, x-amz-content-sha256", "close, x-amz-date"])
def test_even_a_true_signature_has_no_header_dropped_between_guard_and_server(
    server: StoreServer, accounts: dict[str, StoreCredentials], named: str
) -> None:
    client = Store(server.endpoint, accounts["hospital-elm"])._client
    client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: request.headers.__setitem__("Connection", named)
    )
    with pytest.raises(ClientError, match="The guard before the store"):
        client.put_object(Bucket="mailbox", Key=f"rounds/8/hospitals/elm/to/east/{HELLO}.bin", Body=b"hello")


@pytest.mark.parametrize(
    ("actor", "place", "most"),
    [
        ("hospital-elm", "reports/rounds/9/hospitals/elm/manifest/", LARGEST_STATEMENT),
        ("hospital-elm", "reports/consents/hospitals/elm/pneumonia/", LARGEST_STATEMENT),
        ("node-east", "reports/rounds/9/nodes/east/vote/", LARGEST_STATEMENT),
        ("provider", "reports/rounds/9/report/", LARGEST_JSON),
        ("hospital-elm", "mailbox/rounds/9/hospitals/elm/to/east/", MAX_BYTES),
    ],
)
@attack(
    by="hospital",
    to="delay",
    tries="to store objects larger than any reader takes",
    costs="nothing",
    seen="nothing: the guard refuses it",
)
def test_an_object_larger_than_any_reader_takes_is_not_stored(
    server: StoreServer, accounts: dict[str, StoreCredentials], actor: str, place: str, most: int
) -> None:
    store = Store(server.endpoint, accounts[actor])
    bucket, _, prefix = place.partition("/")
    for size in (most, most + 1):
        data = bytes(size)
        key = f"{prefix}{hashlib.sha256(data).hexdigest()}.bin"
        if size == most:
            store.put_once(bucket, key, data)
        else:
            with pytest.raises(WardroundError):
                store.put_once(bucket, key, data)
    assert [item.size for item in server.as_root().list(bucket, prefix)] == [most]
