"""What runs at each kind of site, and what `up` refuses there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.airflow import postgres
from pipeline.errors import Misconfigured, Refused
from pipeline.host import log
from pipeline.services import servers, services, status
from pipeline.services.services import CHAIN, DATABASE, FRONT, NAMES, WORKER
from pipeline.services.supervisor import Program
from pipeline.setup import sites
from pipeline.setup.up import up
from pipeline.site.installation import Installation, Telemetry
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from tests.support.installations import INSTALLATION, settings_in
from tests.support.sites import AUDITOR, NORTH, WREN, Apart

OURS = Site(role=SiteRole.PROVIDER, name=PROVIDER)


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A provider's site with keys and a certificate, without a database."""
    monkeypatch.setattr(postgres, "binaries", lambda _: Path("/usr/bin"))
    settings = Apart.made(tmp_path).provider
    sites.prepare_provider(settings)
    return settings


def programs(settings: Settings) -> dict[str, Program]:
    return {program.name: program for program in services.programs(settings, INSTALLATION)}


@pytest.mark.parametrize(
    ("site", "names"),
    [
        (None, NAMES),
        (OURS, (DATABASE, *NAMES, FRONT, WORKER)),
        (WREN, (WORKER,)),
        (NORTH, (WORKER,)),
        (AUDITOR, ()),
    ],
)
def test_each_site_runs_what_its_role_needs_and_nothing_else(site: Site | None, names: tuple[str, ...]) -> None:
    assert services.names(site) == names


def test_services_of_ours_write_json_with_their_site_where_the_owner_asks(provider: Settings) -> None:
    written = ("store", CHAIN, FRONT)
    told = programs(provider)
    assert not [name for name in written if log.JSON in told[name].environment]
    Installation.load(provider.installation).model_copy(update={"telemetry": Telemetry(json_logs=True)}).save(
        provider.installation
    )
    told = programs(provider)
    for name in written:
        environment = told[name].environment
        assert (environment[log.JSON], environment[log.SITE]) == ("1", "provider")
        caddy = (environment.get(servers.CADDY_LOG), environment.get(servers.CADDY_SERVICE))
        assert caddy == ((None, None) if name == CHAIN else ("json", name))


def test_the_provider_runs_what_sites_call_behind_one_port(provider: Settings) -> None:
    made = programs(provider)
    assert tuple(made) == services.names(OURS)
    assert (made[FRONT].environment["FRONT_HOST"], made[FRONT].environment["FRONT_PORT"]) == ("0.0.0.0", "8443")  # noqa: S104
    # Its own worker is held to its own queue as everybody's is.
    worker = made[WORKER]
    assert (
        worker.environment["AIRFLOW__EDGE__API_URL"] == f"{INSTALLATION.airflow}/sites/provider/edge_worker/v1/rpcapi"
    )
    assert made[DATABASE].stop_signal == "INT"


def test_a_chain_that_runs_elsewhere_is_not_started_at_the_provider(provider: Settings) -> None:
    elsewhere = INSTALLATION.model_copy(update={"development_chain": False})
    assert CHAIN not in [program.name for program in services.programs(provider, elsewhere)]


def test_the_provider_s_own_token_is_made_once_and_known_to_the_check(provider: Settings) -> None:
    token = provider.site_token.read_bytes()
    assert provider.token_of(PROVIDER).read_bytes() == token
    assert provider.site_token.stat().st_mode & 0o777 == 0o600
    assert not sites.prepare_provider(provider)
    assert provider.site_token.read_bytes() == token


@pytest.mark.parametrize("site", [WREN, NORTH], ids=lambda site: site.queue)
def test_a_member_runs_one_worker_of_one_slot_in_its_own_name(tmp_path: Path, site: Site) -> None:
    settings = settings_in(tmp_path)
    site.save(settings)
    (worker,) = services.programs(settings, INSTALLATION)
    assert list(worker.command[-6:]) == ["-q", site.queue, "-H", site.queue, "-c", "1"]
    assert f"/sites/{site.queue}/" in worker.environment["AIRFLOW__EDGE__API_URL"]


def test_no_secret_stands_in_what_the_provider_runs(provider: Settings) -> None:
    said = repr(services.programs(provider, INSTALLATION))
    secrets = [path for path in provider.home.rglob("*") if path.is_file() and path.stat().st_mode & 0o777 == 0o600]
    assert len(secrets) > 5
    assert not [path for path in secrets if path.read_text(errors="replace") in said]


@pytest.mark.parametrize("site", [WREN, NORTH, AUDITOR], ids=lambda site: site.queue)
def test_a_site_that_has_not_joined_is_told_how(tmp_path: Path, site: Site) -> None:
    settings = settings_in(tmp_path)
    site.save(settings)
    with pytest.raises(Misconfigured, match="`wardround site join FILE`"):
        up(settings)


def test_a_member_chooses_no_chain(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    WREN.save(settings)
    with pytest.raises(Refused, match="whose invitation says where the chain answers"):
        up(settings, "http://127.0.0.1:8545")


@pytest.mark.parametrize("site", [None, OURS, WREN, AUDITOR], ids=lambda site: site.queue if site else "together")
def test_before_anything_was_set_up_every_service_is_absent(tmp_path: Path, site: Site | None) -> None:
    settings = settings_in(tmp_path)
    settings.home.mkdir(exist_ok=True)
    if site is not None:
        site.save(settings)
    rows = status.report(settings)
    assert {row["process"] for row in rows} == {"absent"}
    assert [row["service"] for row in rows] == list(services.names(site) or services.NAMES)
    assert {*services.names(site)} <= {row["service"] for row in rows}
