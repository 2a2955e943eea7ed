from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

from pipeline.airflow import airflow
from pipeline.airflow.accounts import RIGHTS
from pipeline.host.files import write_secret
from pipeline.site.installation import Installation, Telemetry
from tests.support.installations import INSTALLATION, settings_in

ASKS = """
from airflow.configuration import conf
for section, key in (("metrics", "otel_on"), ("logging", "json_logs")):
    print(key, conf.get(section, key))
"""


def configuration(home: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string((home / "airflow" / "airflow.cfg").read_text())
    return parser


def test_airflow_is_bound_to_loopback_and_runs_fab_with_no_examples(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION)
    found = configuration(tmp_path)
    assert (found["api"]["host"], found["api"]["port"]) == ("127.0.0.1", "20003")
    assert found["core"]["execution_api_server_url"] == "http://127.0.0.1:20003/execution/"
    assert found["core"]["auth_manager"].endswith("FabAuthManager")
    assert (found["core"]["load_examples"], found["core"]["dags_are_paused_at_creation"]) == ("False", "False")


def test_secrets_are_files_of_mode_600_and_stand_nowhere_else(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION)
    secrets = sorted((tmp_path / "secrets").iterdir())
    assert [file.name for file in secrets] == ["airflow-fernet-key", "airflow-jwt", "airflow-session"]
    values = {file.read_text() for file in secrets}
    assert len(values) == 3
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}
    others = "".join(file.read_text() for file in (tmp_path / "airflow").rglob("*") if file.is_file())
    others += repr(airflow.environment(settings_in(tmp_path), INSTALLATION))
    assert not [value for value in values if value in others]


def test_secrets_are_kept_when_set_up_runs_again(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION)
    before = (tmp_path / "secrets" / "airflow-jwt").read_text()
    airflow.configure(settings_in(tmp_path), INSTALLATION)
    assert (tmp_path / "secrets" / "airflow-jwt").read_text() == before


def test_a_folder_with_a_space_a_quote_and_a_percent_sign_is_taken_literally(tmp_path: Path) -> None:
    home = tmp_path / "it's 100 %(home)s"
    airflow.configure(settings_in(home), INSTALLATION)
    assert configuration(home)["logging"]["base_log_folder"] == str(home / "airflow" / "logs")


def test_every_user_has_the_least_role_for_the_work() -> None:
    accounts = {user.name: (user.role, RIGHTS[user.part]) for user in airflow.users(["elm"])}
    assert accounts == {
        "provider": ("Provider", "User"),
        "auditor": ("Auditor", "Viewer"),
        "hospital-elm": ("Hospital elm", "Viewer"),
    }


FRONT = "https://provider.example:8443"


def elsewhere(home: Path) -> Installation:
    return Installation(store=FRONT, rpc=f"{FRONT}/rpc", airflow=FRONT, authority=home / "authority.pem")


def test_for_sites_elsewhere_edge_workers_take_the_tasks_and_postgresql_keeps_the_database(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION, FRONT)
    found = configuration(tmp_path)
    assert found["core"]["executor"].endswith("EdgeExecutor")
    assert found["database"]["sql_alchemy_conn_cmd"] == f"cat {tmp_path / 'secrets' / 'airflow-database'}"
    assert "sql_alchemy_conn" not in found["database"]
    assert (found["edge"]["api_enabled"], found["api"]["base_url"], found["api"]["host"]) == (
        "True",
        FRONT,
        "127.0.0.1",
    )
    assert found["core"]["execution_api_server_url"] == "http://127.0.0.1:20003/execution/"


def test_all_else_is_as_on_one_machine(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION)
    one = configuration(tmp_path)
    airflow.configure(settings_in(tmp_path), INSTALLATION, FRONT)
    many = configuration(tmp_path)
    differ = {
        (section, key)
        for section in {*one.sections(), *many.sections()}
        for key in {*one[section], *many[section]}
        if one[section].get(key) != many[section].get(key)
    }
    assert differ == {
        ("core", "executor"),
        ("core", "parallelism"),
        ("core", "max_active_tasks_per_dag"),
        ("database", "sql_alchemy_conn"),
        ("database", "sql_alchemy_conn_cmd"),
        ("api", "base_url"),
        ("edge", "api_enabled"),
    }


def test_a_worker_elsewhere_counts_heartbeats_as_the_provider_does(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION, FRONT)
    provider = configuration(tmp_path)
    worker = airflow.worker_environment(settings_in(tmp_path), elsewhere(tmp_path), "hospital-wren")
    for section in ("scheduler", "edge", "logging"):
        for key, value in provider[section].items():
            if key not in ("api_enabled", "base_log_folder"):
                assert worker[f"AIRFLOW__{section}__{key}".upper()] == value
    assert worker["AIRFLOW__EDGE__HEARTBEAT_INTERVAL"] == "5"
    assert worker["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] == "60"


def test_a_worker_calls_the_front_by_its_own_token_and_trusts_one_authority(tmp_path: Path) -> None:
    worker = airflow.worker_environment(settings_in(tmp_path), elsewhere(tmp_path), "hospital-wren")
    assert worker["AIRFLOW__EDGE__API_URL"] == f"{FRONT}/sites/hospital-wren/edge_worker/v1/rpcapi"
    assert worker["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{FRONT}/execution/"
    assert worker["AIRFLOW__API_AUTH__JWT_SECRET_CMD"] == f"cat {tmp_path / 'secrets' / 'site-token'}"
    authority = str(tmp_path / "authority.pem")
    assert (worker["SSL_CERT_FILE"], worker["AIRFLOW__API__SSL_CA_FILE"]) == (authority, authority)
    assert (worker["SSL_CERT_DIR"], worker["AIRFLOW__API__CLIENT_USE_PUBLIC_CERTS"]) == ("/dev/null", "False")
    # None of the provider's: neither its database nor its keys.
    assert worker["AIRFLOW__CORE__FERNET_KEY"] == ""
    assert not [name for name in worker if name.endswith("_CMD") and "JWT" not in name]


def test_a_worker_without_an_authority_of_its_own_trusts_its_machines(tmp_path: Path) -> None:
    services = elsewhere(tmp_path).model_copy(update={"authority": None})
    worker = airflow.worker_environment(settings_in(tmp_path), services, "node-north")
    assert not [name for name in worker if "SSL" in name or "CERT" in name]


def test_a_worker_writes_its_logs_where_the_provider_s_own_api_does_not(tmp_path: Path) -> None:
    airflow.configure(settings_in(tmp_path), INSTALLATION, FRONT)
    worker = airflow.worker_environment(settings_in(tmp_path), INSTALLATION, "provider")
    logs = Path(worker["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
    assert logs.is_relative_to(worker["AIRFLOW_HOME"])
    assert logs != Path(configuration(tmp_path)["logging"]["base_log_folder"])


def test_a_worker_answers_once_the_provider_has_let_its_very_process_in(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    airflow.configure_worker(settings, running=False)
    assert (airflow.worker_home(settings) / "config" / "airflow_local_settings.py").exists()
    assert airflow.worker_trouble(settings, None) == "the worker does not run"
    assert "has not let the worker in" in str(airflow.worker_trouble(settings, 17))
    written = airflow.worker_home(settings) / "airflow-edge-worker.pid"
    written.write_text("17\n")
    assert airflow.worker_trouble(settings, 17) is None
    assert airflow.worker_trouble(settings, 18) is not None
    airflow.configure_worker(settings, running=True)
    assert written.exists()
    airflow.configure_worker(settings, running=False)
    assert not written.exists()


def test_a_workers_environment_holds_no_secret(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    airflow.make_secrets(settings)
    write_secret(settings.site_token, b"the token itself")
    told = repr(airflow.worker_environment(settings, elsewhere(tmp_path), "hospital-wren"))
    values = [file.read_text() for file in (tmp_path / "secrets").iterdir()]
    assert len(values) == 4
    assert not [value for value in values if value in told]


def test_tokens_are_signed_by_as_many_bytes_as_the_algorithm_wants(tmp_path: Path) -> None:
    airflow.make_secrets(settings_in(tmp_path))
    assert len((tmp_path / "secrets" / "airflow-jwt").read_bytes()) >= 64


def test_what_the_installation_asks_for_is_what_airflow_reads(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    asked = INSTALLATION.model_copy(update={"telemetry": Telemetry(otlp="http://127.0.0.1:4318", json_logs=True)})
    asked.save(settings.installation)
    assert Installation.load(settings.installation) == asked
    for installation, told in ((INSTALLATION, "False"), (asked, "True")):
        airflow.configure(settings, installation)
        environment = {**os.environ, **airflow.environment(settings, installation)}
        done = subprocess.run([sys.executable, "-c", ASKS], env=environment, capture_output=True, text=True, check=True)
        # Beside what Airflow logs when nobody takes its metrics.
        assert {f"otel_on {told}", f"json_logs {told}"} <= set(done.stdout.splitlines())
        assert environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") == installation.telemetry.otlp
        worker = airflow.worker_environment(settings, installation, "hospital-wren")
        assert worker["AIRFLOW__LOGGING__JSON_LOGS"] == told
        assert not any("OTEL" in name for name in worker)
