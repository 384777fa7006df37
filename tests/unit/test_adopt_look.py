"""What the look at an old installation of Airflow says, as far as it needs no Airflow."""

import importlib.util
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from airstrip_tree import PROJECT

SCRIPT = PROJECT / "roles" / "airflow_adopt" / "files" / "look.py"


@pytest.fixture(scope="module", name="look")
def fixture_look() -> Any:
    spec = importlib.util.spec_from_file_location("adopt_look", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_imports_without_airflow(look: Any) -> None:
    assert "core.fernet_key" in look.WANTED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from flask_appbuilder.const import AUTH_LDAP\nAUTH_TYPE = AUTH_LDAP\n", "AUTH_LDAP"),
        ("AUTH_TYPE=AUTH_DB  # the default\n", "AUTH_DB"),
        ("# AUTH_TYPE = AUTH_OAUTH\n", ""),
    ],
)
def test_kind_of_login(look: Any, text: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "webserver_config.py"
    path.write_text(text, encoding="utf-8")
    assert look.web_authentication(str(path)) == found


def test_no_file_means_no_kind_of_login(look: Any, tmp_path: Path) -> None:
    assert look.web_authentication(str(tmp_path / "webserver_config.py")) == ""


@pytest.mark.parametrize(
    "option", ["smtp_password", "sql_alchemy_conn", "secret_key", "sentry_dsn", "backend_kwargs", "flower_basic_auth"]
)
def test_names_of_secrets(look: Any, option: str) -> None:
    assert look.SECRET.search(option)


@pytest.mark.parametrize("option", ["parallelism", "instance_name", "dag_dir_list_interval", "hostname_callable"])
def test_names_of_no_secrets(look: Any, option: str) -> None:
    assert not look.SECRET.search(option)


def test_value_that_cannot_be_read_is_empty(look: Any) -> None:
    parser = ConfigParser()
    parser.read_string("[core]\nexecutor = LocalExecutor\nbroken = %(nowhere)s\n")
    assert look.value_of(parser, "core.executor") == "LocalExecutor"
    assert look.value_of(parser, "core.broken") == ""
    assert look.value_of(parser, "api.secret_key") == ""


def test_packages_on_which_none_depends(look: Any) -> None:
    found = look.packages()
    assert "pytest-testinfra" in found
    # The plugin needs it.
    assert "pytest" not in found
