"""The front of a service provider: Caddy with TLS before chain, store and Airflow, on the one port that sites call."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pipeline.services.servers import Launch
from pipeline.site import certificates
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT

RPC = "/rpc"
"""Where the chain answers."""

_CONFIGURATION = PROJECT / "pipeline" / "services" / "templates" / "front.caddyfile"


def launch(caddy: Path, address: str, certificate: Path, installation: Installation) -> Launch:
    """The front at `address`, HOST:PORT of this machine, before what answers on it; raises Misconfigured.

    `certificate` is the folder of cert.pem and key.pem; with another certificate it is another launch, so that the
    process manager starts it anew.
    """
    host, _, port = address.rpartition(":")
    environment = {
        "FRONT_HOST": host,
        "FRONT_PORT": port,
        "FRONT_CERTIFICATE": str(certificate / "cert.pem"),
        "FRONT_KEY": str(certificate / "key.pem"),
        "FRONT_FINGERPRINT": certificates.fingerprint(certificate / "cert.pem"),
        "FRONT_CHAIN": installation.rpc,
        "FRONT_STORE": urlsplit(installation.store).netloc,
        "FRONT_AIRFLOW": urlsplit(installation.airflow).netloc,
    }
    return Launch([str(caddy), "run", "--adapter", "caddyfile", "--config", str(_CONFIGURATION)], environment)
