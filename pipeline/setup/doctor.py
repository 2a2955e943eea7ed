"""What this machine has and lacks, as the workers find it, and how to get it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import Misconfigured
from pipeline.host import namespace, ports
from pipeline.mpc.engines import ENGINES, engine
from pipeline.mpc.price import VerificationCost
from pipeline.services import services
from pipeline.setup import folders
from pipeline.site.identity import STORE_CREDENTIALS, StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT, Settings
from pipeline.site.site import Site, SiteRole
from pipeline.store import conformance
from pipeline.store.objects import Store
from pipeline.store.usage import usage
from pipeline.study.study_files import load_studies
from pipeline.tools import runtime, toolchains

_DISK_BYTES = 8 * 2**30
"""Go's caches take 2.2 GB, the environments 5.4 GB, which they share with uv's cache where that lies on the same file
system."""

_USAGE_SECONDS = 5
_SHARES = 10
_BEYOND = (
    "`wardround up` takes its right to write, a larger `store_quota` in installation.yaml and another `up` give it back"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked for; `needed` when this machine's set-up or one of its studies cannot do without it."""

    what: str
    passed: bool
    needed: bool
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Look for everything that set-up, services and studies need, where this installation's workers look for it.

    At a site that is what its role needs.
    """
    site = Site.load(settings)
    serves = site is None or site.role is SiteRole.PROVIDER
    computes = site is None or site.role is SiteRole.NODE
    return [
        _python(),
        *_folders(settings),
        *(_tools(settings) if serves else []),
        *([*_engines(settings), *_work(settings)] if computes else []),
        _disk(settings),
        *([_ports(), *_usage(settings)] if serves else []),
    ]


def examine_store(settings: Settings) -> Iterator[Finding]:
    """What the deployed store promises this site's member, tried by its own account; of all sites here, the provider's.

    Raises Misconfigured before the first `up`, Unavailable where the store does not answer.
    """
    site = Site.load(settings)
    folder = settings.provider if site is None else site.folder(settings)
    installation = Installation.load(settings.installation)
    credentials = StoreCredentials.load(folder / STORE_CREDENTIALS)
    for promise in conformance.promises(installation.store, credentials, installation.authority):
        yield Finding(promise.what, promise.held, True, promise.seen)


def _python() -> Finding:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    fits = version == "3.11"
    return Finding(
        "Python",
        fits,
        True,
        f"{version} at {sys.executable}" if fits else f"got {version}, want 3.11; install it and run `make setup`",
    )


def _folders(settings: Settings) -> list[Finding]:
    return [
        Finding(
            variable,
            False,
            False,
            f"this shell says {here!r}, the installation's workers go by {workers!r}, and so does all that follows; "
            f"run `wardround up` for them to go by this shell's, or unset {variable}",
        )
        for variable, workers, here in folders.differences(settings, Settings.wanted(settings.home))
    ]


def _tools(settings: Settings) -> list[Finding]:
    go = toolchains.own_go()
    node = toolchains.own_node()
    modules = PROJECT / "node_modules" / ".wardround"
    chain = (
        not Installation.is_made(settings.installation) or Installation.load(settings.installation).development_chain
    )
    return [
        *_object_store(settings),
        Finding(
            "Go",
            go is not None,
            False,
            str(go or f"none that is new enough; {toolchains.GO} from PyPI builds the object store"),
        ),
        Finding(
            "Node.js",
            node is not None,
            False,
            str(node or f"none that is new enough; {toolchains.NODE} from PyPI takes its place"),
        ),
        Finding(
            "npm packages",
            modules.exists(),
            chain and Site.load(settings) is None,
            "as in package-lock.json" if modules.exists() else "not installed; run `make setup`",
        ),
    ]


def _object_store(settings: Settings) -> list[Finding]:
    kind = services.store_server(settings)
    built = runtime.store_server_path(settings, kind)
    caddy = runtime.caddy_path()
    findings = [
        Finding(f"store {kind}", built.exists(), True, str(built) if built.exists() else "not built; run `make setup`"),
        Finding(
            "store's guard", caddy.exists(), True, str(caddy) if caddy.exists() else "not installed; run `make setup`"
        ),
    ]
    if kind == "versitygw":
        detail = (
            "its operator can shorten an object's retention; it expires no envelope itself, each `wardround up` deletes"
            " the old ones"
        )
        return [*findings, Finding("what versitygw lacks", True, False, detail)]
    shut_in = namespace.can_shut_in()
    detail = (
        "allowed, so MinIO is reached through its guard alone"
        if shut_in
        else "not allowed here, and MinIO starts in none else"
    )
    return [*findings, Finding("network namespace", shut_in, True, detail)]


def _engines(settings: Settings) -> list[Finding]:
    findings = []
    for name in ENGINES:
        users = [study.name for study in load_studies(settings.studies).values() if study.engine == name]
        problems = engine(name, settings).problems()
        detail = "; ".join(problems) or f"ready, for {', '.join(users) or 'no study here'}"
        if name == "mp-spdz" and not problems:
            detail += "; it listens on every interface: let a firewall admit the other nodes alone"
        # A study whose engine is missing does not start; the others do.
        findings.append(
            Finding(
                f"engine {name}",
                not problems,
                False,
                detail + (f"; not for now: {', '.join(users)}" if problems and users else ""),
            )
        )
    return findings


def _work(settings: Settings) -> list[Finding]:
    """What a round of each study asks of its nodes."""
    studies = load_studies(settings.studies)
    return [
        Finding(f"a round of {name}", True, False, str(VerificationCost.of(study))) for name, study in studies.items()
    ]


def _usage(settings: Settings) -> list[Finding]:
    """Who uses how much of the store, once there is one."""
    credentials = settings.auditor / STORE_CREDENTIALS
    if not Installation.is_made(settings.installation) or not credentials.exists():
        return []
    installation = Installation.load(settings.installation)
    used = usage(Store(installation.store, StoreCredentials.load(credentials), installation.authority), _USAGE_SECONDS)
    said = "; ".join(map(str, used.shares[:_SHARES])) or used.trouble or "nothing lies in it"
    if not used.trouble and not used.complete:
        said += f"; of what could be listed in {_USAGE_SECONDS} s"
    quota = installation.quota
    beyond = [
        Finding(
            "quota of the store",
            False,
            False,
            f"{share}, may have {quota.objects:,} and {quota.mebibytes:,} MiB; {_BEYOND}",
        )
        for share in used.beyond(quota)
    ]
    return [Finding("who uses the store", used.trouble is None, False, said), *beyond]


def _disk(settings: Settings) -> Finding:
    free = min(shutil.disk_usage(folder).free for folder in (PROJECT, _existing(settings)))
    return Finding(
        "disk",
        free >= _DISK_BYTES,
        False,
        f"{free / 2**30:.0f} GB free, {_DISK_BYTES / 2**30:.0f} GB are enough for set-up",
    )


def _existing(settings: Settings) -> str:
    return str(next(folder for folder in (settings.cache, *settings.cache.parents) if folder.exists()))


def _ports() -> Finding:
    try:
        ports.choose(3)
    except Misconfigured as error:
        return Finding("ports", False, True, str(error))
    return Finding("ports", True, True, "free ones on the loopback interface")
