"""What somebody inside the store's machine can do past the guard.

Enter MinIO's own network, and hide or write over objects there.

`python -m tests.support.past_guard CREDENTIALS [TEXT]` reads lines of bucket and key, and writes the text over each, or
else hides it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.services.servers import SHUT_IN_ADDRESS
from pipeline.site.identity import StoreCredentials
from pipeline.site.settings import PROJECT
from pipeline.store.objects import Store


def put_over(server: int, credentials: Path, objects: Iterable[tuple[str, str]], text: str | None) -> None:
    """Lay this text, or a delete marker where there is none, over each object, from the network of `server`."""
    enter = ["nsenter", "--target", str(server), "--user", "--net", "--preserve-credentials"]
    lines = "".join(f"{bucket} {key}\n" for bucket, key in objects)
    command = [
        *enter,
        sys.executable,
        "-m",
        "tests.support.past_guard",
        str(credentials),
        *([] if text is None else [text]),
    ]
    subprocess.run(command, input=lines, text=True, cwd=PROJECT, check=True)


if __name__ == "__main__":
    client = Store(f"http://{SHUT_IN_ADDRESS}", StoreCredentials.load(Path(sys.argv[1])))._client
    for line in sys.stdin:
        bucket, key = line.split()
        if len(sys.argv) > 2:
            client.put_object(Bucket=bucket, Key=key, Body=sys.argv[2].encode())
        else:
            client.delete_object(Bucket=bucket, Key=key)
