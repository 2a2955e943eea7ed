"""What somebody inside the store's machine can do past the guard: enter MinIO's own network and hide objects there.

`python -m tests.support.past_guard CREDENTIALS` reads lines of bucket and key.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.identity import StoreCredentials
from pipeline.settings import PROJECT
from pipeline.setup.servers import SHUT_IN_ADDRESS
from pipeline.store.objects import Store


def hide(server: int, credentials: Path, objects: Iterable[tuple[str, str]]) -> None:
    """Lay a delete marker over each object, from within the network of the process `server`."""
    enter = ["nsenter", "--target", str(server), "--user", "--net", "--preserve-credentials"]
    lines = "".join(f"{bucket} {key}\n" for bucket, key in objects)
    command = [*enter, sys.executable, "-m", "tests.support.past_guard", str(credentials)]
    subprocess.run(command, input=lines, text=True, cwd=PROJECT, check=True)


if __name__ == "__main__":
    client = Store(f"http://{SHUT_IN_ADDRESS}", StoreCredentials.load(Path(sys.argv[1])))._client
    for line in sys.stdin:
        bucket, key = line.split()
        client.delete_object(Bucket=bucket, Key=key)
