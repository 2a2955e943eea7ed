from __future__ import annotations

import configparser
from pathlib import Path

from pipeline.setup import airflow
from pipeline.setup.accounts import RIGHTS
from tests.support.installations import INSTALLATION, settings_in


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
    others += repr(airflow.environment(settings_in(tmp_path)))
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
