"""What the look at an old installation of Airflow says, as far as it needs no Airflow."""

import pickle
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

FILES = PROJECT / "roles" / "airflow_adopt" / "files"


@pytest.fixture(scope="module", name="look")
def fixture_look() -> Any:
    return load(FILES / "look.py")


@pytest.fixture(scope="module", name="dump")
def fixture_dump() -> Any:
    return load(FILES / "dump.py")


def test_it_imports_without_airflow(look: Any) -> None:
    assert "core.fernet_key" in look.WANTED


def test_a_folder_of_plugins_that_is_not_there_is_none(look: Any, tmp_path: Path) -> None:
    conf = ConfigParser()
    conf["core"] = {"dags_folder": "/nowhere/dags", "plugins_folder": str(tmp_path)}
    found = look.options_of(conf)
    assert (found["core.dags_folder"], found["core.plugins_folder"]) == ("/nowhere/dags", str(tmp_path))
    conf["core"]["plugins_folder"] = "/nowhere/plugins"
    assert look.options_of(conf)["core.plugins_folder"] == ""


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


@pytest.mark.parametrize(
    "value",
    [
        "http://elastic:s3cret@search:9200", "https://0123abcd@sentry.example.com/1", "http://u:p/w@proxy:3128",
        "host=db password=abc", '{"password": "abc"}', "{'api_token' : 'abc'}",
    ],
)  # fmt: skip
def test_values_that_are_secrets(look: Any, value: str) -> None:
    assert look.SECRET_VALUE.search(value)


@pytest.mark.parametrize(
    "value", ["http://search:9200", "ops@example.com", "Airflow <ops@example.com>", "dag_id={{ ti.dag_id }}", "64"]
)
def test_values_that_are_no_secrets(look: Any, value: str) -> None:
    assert not look.SECRET_VALUE.search(value)


def test_what_airflow_calls_sensitive_is_a_secret(look: Any) -> None:
    assert look.is_secret("smtp.smtp_user", "me", {"smtp.smtp_user"})
    assert look.is_secret("elasticsearch.host", "http://elastic:s3cret@search:9200", set())
    assert not look.is_secret("token.size", "64", {"smtp.smtp_user"})


def test_dump_reaches_the_database_as_airflow_does(dump: Any) -> None:
    url = {
        "host": "db.example.com", "port": 5433, "username": "user@server; id", "password": "s3cret'",
        "database": "a'b c", "sslmode": "require", "options": r"-csearch_path=a\b",
    }  # fmt: skip
    arguments, environment = dump.command(url)
    assert arguments == [
        "pg_dump", "--format=custom", "--no-password", "--host=db.example.com", "--port=5433",
        "--username=user@server; id", r"--dbname=dbname='a\'b c' sslmode='require' options='-csearch_path=a\\b'",
    ]  # fmt: skip
    assert environment == {"PGPASSWORD": "s3cret'"}


def test_dump_by_a_socket_needs_no_password(dump: Any) -> None:
    arguments, environment = dump.command({"host": "/run", "username": "old", "database": "old"})
    assert arguments[3:] == ["--host=/run", "--username=old", "--dbname=dbname='old'"]
    assert environment == {}


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


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({"limit": float("inf")}, True),
        ({"a": [float("nan")]}, True),
        ({"a": "b\0c"}, True),
        ({"a": "b\\u0000"}, False),
        ({"a": "NaN"}, False),
        ({"a": {1}}, False),
    ],
)
def test_configuration_of_a_run_that_is_no_json(look: Any, conf: dict[str, Any], found: bool) -> None:
    assert look.is_no_json(pickle.dumps(conf)) is found


def test_what_is_no_pickle_is_left_out(look: Any) -> None:
    assert not look.is_no_json(b"no pickle")
