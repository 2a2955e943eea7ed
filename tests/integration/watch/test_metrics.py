"""A site's metrics: what the watch saw of rounds, served on loopback, and a dashboard that asks for what there is."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.airflow import heard
from pipeline.airflow.heard import SiteHeard
from pipeline.errors import Unavailable
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.host import ports
from pipeline.report.round_list import views
from pipeline.services import services
from pipeline.site.installation import Installation, Telemetry
from pipeline.site.settings import PROJECT, Settings
from pipeline.store import object_keys
from pipeline.store.usage import Share, Usage
from pipeline.watch import watch as watch_module
from pipeline.watch.metrics import Metrics
from pipeline.watch.watch import Watch
from tests.support.fixtures import checked_once
from tests.support.installations import INSTALLATION
from tests.support.memory.site import MemorySite
from tests.support.sites import AUDITOR, WREN, Apart

__all__ = ["checked_once"]

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()
DASHBOARD: Mapping[str, Any] = json.loads((PROJECT / "docs" / "reference" / "grafana-dashboard.json").read_text())
GIB = 1 << 30

Values = Mapping[tuple[str, ...], float]


def told(metrics: Metrics) -> Mapping[str, Values]:
    """Metric to its values by their labels, in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def watching(settings: Settings) -> tuple[Watch, Metrics]:
    metrics = Metrics.of(settings)
    return Watch(settings, metrics, lambda _: (100 * GIB, 40 * GIB)), metrics


def look(watching: tuple[Watch, Metrics]) -> Mapping[str, Values]:
    watch, metrics = watching
    watch.look(NOW)
    return told(metrics)


def other_addresses() -> list[str]:
    """Of this machine, by which others come; and one of loopback that a port open to all answers at."""
    own = [one.address for many in psutil.net_if_addrs().values() for one in many if one.family is socket.AF_INET]
    return ["127.0.0.2", *(address for address in own if address != ports.LOOPBACK)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySite]:
    made = MemorySite(tmp_path_factory.mktemp("measured") / "home")
    with made.reached():
        yield made


def test_rounds_verdicts_stages_and_sizes_are_told_as_show_tells_them(site: MemorySite) -> None:
    # Long, since nothing here is about them.
    longer = {"commit_seconds": 1200, "result_seconds": 2400}
    play = site.play("measured", hospitals=["aster", "birch", "cedar", "dahlia"], deadlines=longer)
    first = play.round("first")
    watch = watching(site.settings)
    seen = look(watch)
    assert seen["wardround_rounds"][("finalised", "measured")] == 1
    assert seen["wardround_last_round"][("measured",)] == first
    assert "wardround_verdicts_total" not in seen, "of what was before the watch nothing is counted"
    running = play.open("second")
    play.hospitals(running, ["aster", "birch", "cedar"])
    seen = look(watch)
    assert seen["wardround_rounds"][("running", "measured")] == 1
    play.decide(running)
    for _ in range(2):
        seen = look(watch)
    assert seen["wardround_rounds"] == {("finalised", "measured"): 2}
    assert seen["wardround_last_round_finalised"][("measured",)] == 1
    verdicts = {("aster", "accepted"), ("birch", "accepted"), ("cedar", "accepted"), ("dahlia", "absent")}
    wanted = {(hospital, "measured", verdict): 1 for hospital, verdict in verdicts}
    assert seen["wardround_last_round_verdict"] == wanted == seen["wardround_verdicts_total"]
    assert "wardround_last_round_stage_seconds" not in seen
    # The provider's report comes after a round's end.
    place, data = object_keys.report(running, "json"), canonical_json({"seconds": {"train": 2, "verify": 3, "nap": 4}})
    site.store().put_once(place.bucket, place.key(sha256(data)), data)
    seen = look(watch)
    assert seen["wardround_last_round_stage_seconds"] == {("train", "measured"): 2, ("verify", "measured"): 3}
    assert 0 <= seen["wardround_last_round_accuracy_ratio"][("measured",)] <= 1
    assert (seen["wardround_disk_size_bytes"][()], seen["wardround_disk_free_bytes"][()]) == (100 * GIB, 40 * GIB)
    assert {"hospital aster", "node north"} <= {who for (who,) in seen["wardround_store_bytes"]}
    assert (seen["wardround_provider_reached"][()], seen["wardround_look_timestamp_seconds"][()]) == (1, NOW)
    late = play.open("third")
    site.pass_deadline(late)
    play.open("fourth")
    seen = look(watch)
    assert seen["wardround_last_round_finalised"][("measured",)] == 0
    assert "wardround_last_round_verdict" not in seen, "an aborted round has none"


def test_a_study_that_was_concluded_is_told_and_what_its_model_is_worth(site: MemorySite) -> None:
    longer = {"commit_seconds": 1200, "result_seconds": 2400}
    more = {"course": {"most_rounds": 1}, "measures": "scores"}
    play = site.play("measured-to-its-end", hospitals=["aster", "birch", "cedar"], deadlines=longer, **more)
    watch = watching(site.settings)
    running = play.committed("only")
    assert look(watch)["wardround_study_concluded"][("measured-to-its-end",)] == 0
    play.verify(running)
    play.aggregate(running)
    play.end(running)
    seen = look(watch)
    assert seen["wardround_study_concluded"][("measured-to-its-end",)] == 1
    (view,) = views([site.ledger.round(running)], site.ledger, site.store())
    assert view.measures is not None
    for name, estimate in (("balanced_accuracy", view.measures.balanced_accuracy), ("auc", view.measures.auc)):
        shown = seen.get(f"wardround_last_round_{name}_ratio", {}).get(("measured-to-its-end",))
        assert shown == (estimate.value if estimate else None), "of a class with few records no scores are told"
    assert view.measures.balanced_accuracy is not None


def test_a_listing_of_the_store_that_did_not_end_leaves_what_was_known_and_comes_again_soon() -> None:
    metrics = Metrics("provider", "")
    assert metrics.store_is_due(NOW)
    metrics.store(Usage([Share("hospital aster", 3, 300)], complete=True), NOW)
    known = {("hospital aster",): 300}
    assert told(metrics)["wardround_store_bytes"] == known
    assert not metrics.store_is_due(NOW + 3599)
    assert metrics.store_is_due(NOW + 3600)
    for cut in (Usage([Share("hospital aster", 1, 100)], complete=False), Usage((), False, "no store")):
        metrics.store(cut, NOW + 3600)
        assert told(metrics)["wardround_store_bytes"] == known
        assert not metrics.store_is_due(NOW + 3601)
        assert metrics.store_is_due(NOW + 4200)


def test_a_provider_that_does_not_answer_is_told(site: MemorySite, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise Unavailable("no ledger")

    watch = watching(site.settings)
    look(watch)
    monkeypatch.setattr(watch_module.Ledger, "connect", down)
    seen = look(watch)
    assert seen["wardround_provider_reached"][()] == 0
    assert seen["wardround_look_timestamp_seconds"][()] == NOW


def test_the_provider_tells_of_each_site_and_forgets_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Apart.made(tmp_path).provider
    sites = [
        SiteHeard("hospital-wren", "idle", NOW - 5, 1, "0.1.0", None, 0.4),
        SiteHeard("node-north", "idle", NOW - 300, 0, "0.1.0", "spu", None),
        SiteHeard("hospital-elm", "never", None, 0, None, None, None),
    ]
    monkeypatch.setattr(heard, "all_sites", lambda _: sites)
    watch = watching(settings)
    seen = look(watch)
    assert seen["wardround_site_last_heard_timestamp_seconds"] == {
        ("hospital-wren",): NOW - 5,
        ("node-north",): NOW - 300,
    }
    assert seen["wardround_site_silent"] == {("hospital-wren",): 0, ("node-north",): 1, ("hospital-elm",): 0}
    assert seen["wardround_site_clock_ahead_seconds"] == {("hospital-wren",): 0.4}
    assert any(file.endswith("cert.pem") for (file,) in seen["wardround_certificate_end_timestamp_seconds"])
    sites.pop()
    assert ("hospital-elm",) not in look(watch)["wardround_site_silent"]


def test_they_are_read_on_loopback_alone_and_hold_no_secret(tmp_path: Path) -> None:
    settings = Apart.made(tmp_path).provider
    watch = watching(settings)
    look(watch)
    _, metrics = watch
    port = ports.choose()
    with metrics.served(port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert answer.status_code == 200
        assert 'wardround_site_info{site="provider"' in answer.text
        for address in other_addresses():
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://{address}:{port}/metrics", trust_env=False)
        assert httpx.post(f"http://127.0.0.1:{port}/metrics").status_code == 405
        with (
            pytest.raises(Unavailable, match=f"got port {port}, which another program has"),
            metrics.served(port),
        ):
            pytest.fail("two answer at one port")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")
    secrets = [
        path.read_bytes() for path in settings.home.rglob("*") if path.is_file() and path.stat().st_mode & 0o77 == 0
    ]
    assert secrets
    assert not [secret for secret in secrets if len(secret) > 8 and secret.strip() in answer.content]


@pytest.mark.parametrize(("site", "runs"), [(WREN, True), (AUDITOR, False)])
def test_the_watch_runs_where_somebody_wants_metrics(tmp_path: Path, site: Any, runs: bool) -> None:
    apart = Apart(tmp_path)
    apart.init(site)
    settings = apart.settings(site.queue)
    asked = INSTALLATION.model_copy(update={"telemetry": Telemetry(prometheus=9464)})
    asked.save(settings.installation)
    assert Installation.load(settings.installation) == asked
    assert services.watching(settings) == (("watch",) if runs else ())
    if runs:
        assert list(services.watch(settings).command[1:]) == ["-m", "pipeline.watch.watch", "--prometheus", "9464"]


def queries() -> list[tuple[str, str]]:
    """Each query of the dashboard, with the text by which a line of its panel is named."""
    asked = [(one["expr"], one["legendFormat"]) for panel in DASHBOARD["panels"] for one in panel["targets"]]
    variables = [one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    return [*asked, *((query, "") for query in variables)]


def test_every_query_of_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    labels = {name: set(names) for name, names, _ in Metrics("provider", "").table()}
    asked: set[str] = set()
    for query, legend in queries():
        names = re.findall(r"wardround_\w+", query)
        assert names, query
        asked.update(names)
        for name in names:
            assert name in labels, query
            # `instance` and `job` are Prometheus's own.
            matched = set(re.findall(r"(\w+)=~?\"", query)) | set(re.findall(r"\{\{(\w+)\}\}", legend))
            matched |= set(re.findall(r"label_values\(.*, (\w+)\)", query))
            for grouped in re.findall(r"by \(([\w, ]+)\)", query):
                matched |= set(grouped.split(", "))
            assert matched - {"instance", "job"} <= labels[name], query
    assert asked == set(labels), "a metric that the dashboard does not show"
