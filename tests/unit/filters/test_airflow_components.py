"""What the components of a host are given, as credentials and in their environment."""

from typing import Any

import pytest
from airflow_components import (
    airflow_command_credentials,
    airflow_command_workers,
    airflow_credential_files,
    airflow_credentials,
    airflow_instance_credentials,
    airflow_unit_environment,
)
from ansible.errors import AnsibleFilterError

BROKER = {"scheme": "redis", "user": "a", "password": "b", "host": "b", "port": 6379, "path": "0", "query": {}}
SERVER: dict[str, Any] = {"user": "a", "password": "p", "host": "d", "port": 5432, "path": "db", "query": {}}
MORE: dict[str, Any] = {
    "database": SERVER, "results": SERVER, "results_view": SERVER, "broker": BROKER, "worker_users": [],
    "webserver_config": [], "remote_logs": [], "remote_logs_streamed": [], "ldap": {}, "oauth": [], "backends": {},
    "bundles": [],
}  # fmt: skip
SECRETS = {"fernet_key": "f"}
WORKERS = [{"set": "x", "directory": "worker-x"}, {"set": "y", "directory": "worker-y"}]


def row(*credentials: str, **more: Any) -> dict[str, Any]:
    return {"credentials": [*credentials], "uses": [], "instances": [{"directory": "scheduler"}], **more}


def test_the_database_is_one_secret_or_two() -> None:
    known = {"scheduler": row("database", "fernet_key")}
    assert [*airflow_credentials(known, SECRETS, MORE)] == ["database_url", "fernet_key"]
    options = {"sslmode": "verify-full", "sslrootcert": "/a b"}
    held = airflow_credentials(known, SECRETS, MORE | {"database": SERVER | {"query": options}})
    assert held["database_url"]["value"] == (
        "postgresql+psycopg2://a:p@d:5432/db?sslmode=verify-full&sslrootcert=%2Fa%20b"
    )
    assert held["database_async_url"]["value"] == (
        "postgresql+asyncpg://a:p@d:5432/db?dsn=postgresql%3A%2F%2F%3Fsslmode%3Dverify-full%26sslrootcert%3D%252Fa%2Bb"
    )


def test_each_worker_has_the_broker_as_its_own_user_or_as_the_schedulers() -> None:
    users = [{"worker": "x", "user": "w-x", "password": "p/q", "queues": ["mail"]}]
    held = airflow_credentials(
        {"worker": row("results_url", instances=WORKERS)}, SECRETS, MORE | {"worker_users": users}
    )
    assert held["broker_url.x"] == {"value": "redis://w-x:p%2Fq@b:6379/0", "option": "AIRFLOW__CELERY__BROKER_URL"}
    assert held["broker_url.y"]["value"] == "redis://a:b@b:6379/0"
    assert airflow_instance_credentials(row("results_url"), WORKERS[0], MORE) == {
        "results_url": "results_url", "broker_url": "broker_url.x",
    }  # fmt: skip


def test_secrets_of_the_web_servers_configuration_are_files_alone() -> None:
    """Also one that is called like one of ours: no command asks for it."""
    more = MORE | {"webserver_config": [{"name": "ldap", "value": "l"}]}
    held = airflow_credentials({"api_server": row("webserver_config", "fernet_key")}, SECRETS, more)
    assert held == {"fernet_key": {"value": "f", "option": "AIRFLOW__CORE__FERNET_KEY"}, "ldap": {"value": "l"}}


def test_the_key_to_the_task_logs_is_a_file_whose_path_the_library_gets() -> None:
    """Where they are sent as they are written, DAG processors send theirs, too."""
    more = MORE | {"remote_logs": ["remote_logs_aws"]}
    known = {"worker": row("remote_logs"), "dag_processor": row("remote_logs_streamed")}
    held = airflow_credentials(known, {"remote_logs_aws": "k"}, more)
    assert held == {"remote_logs_aws": {"value": "k", "path": "AWS_SHARED_CREDENTIALS_FILE"}}
    assert airflow_credentials({"dag_processor": known["dag_processor"]}, {}, more) == {}
    streamed = MORE | {"remote_logs_streamed": ["remote_logs_aws"]}
    assert [*airflow_credentials({"dag_processor": known["dag_processor"]}, {"remote_logs_aws": "k"}, streamed)]


def test_a_secret_that_nobody_knows_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="nobody knows the secret 'jwt_secret'"):
        airflow_credentials({"scheduler": row("jwt_secret")}, SECRETS, MORE)


def test_what_a_host_does_not_need_goes() -> None:
    held = airflow_credentials({"scheduler": row("fernet_key")}, SECRETS, MORE)
    files = airflow_credential_files(held, SECRETS, "/c")
    assert files[0] == {"path": "/c/fernet_key", "content": "f"}
    assert {entry["path"] for entry in files if entry.get("state") == "absent"} == {
        "/c/broker_url", "/c/database_async_url", "/c/database_url", "/c/flower_broker_url",
        "/c/results_url", "/c/results_view_url", "/c/secrets_backend", "/c/worker_secrets_backend",
    }  # fmt: skip


def test_commands_have_the_database_and_no_key_that_signs() -> None:
    held = airflow_credentials({"api_server": row("database", "fernet_key")}, SECRETS | {"jwt_secret": "j"}, MORE)
    assert [*airflow_command_credentials(held, MORE)] == ["database_url", "fernet_key"]
    assert airflow_command_credentials({"results_url": {}}, MORE) == {}


def test_commands_ask_all_workers_from_a_schedulers_host_and_else_its_own() -> None:
    assert [*airflow_command_workers({"broker_url": {}}, ["x", "z"])] == ["x", "z"]
    assert airflow_command_workers({"broker_url.x": {}}, ["x", "z"]) == {
        "x": {"broker_url": "broker_url.x", "results_url": "results_url"}
    }


@pytest.mark.parametrize(("storage", "own"), [("/h/cli/bundles", True), ("/srv/bundles", False)])
def test_no_two_units_share_the_files_of_bundles_unless_that_is_wanted(storage: str, own: bool) -> None:
    config = {"dag_processor": {"dag_bundle_storage_path": storage}, "core": {"executor": "CeleryExecutor"}}
    given = {
        "home": "/h",
        "config": config,
        "bundles": "/h/cli/bundles",
        "queues": ["q"],
        "broker_database": 0,
        "backends": {},
    }
    found = airflow_unit_environment(row(), {"directory": "scheduler"}, given)
    assert found["HOME"] == "/h/scheduler"
    assert (found.get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH") == "/h/scheduler/bundles") is own
    assert len(found) == (2 if own else 1)


FLOWER = row("flower_broker_url", "flower_logins", uses=["transport", "flower_config"])
FLOWER["instances"] = [{"directory": "flower", "shows": "x"}]


def test_flower_has_a_user_of_its_own_for_the_workers_that_it_shows() -> None:
    users = [
        {"worker": "x", "user": "w-x", "password": "p"},
        {"worker": "x", "user": "f-x", "password": "q", "looking": True},
        {"worker": "y", "user": "f-y", "password": "r", "looking": True},
    ]
    secrets = SECRETS | {"flower_logins": "{}"}
    held = airflow_credentials({"flower": FLOWER}, secrets, MORE | {"worker_users": users})
    assert held == {
        "flower_broker_url": {"value": "redis://f-x:q@b:6379/0", "option": "AIRFLOW__CELERY__BROKER_URL"},
        "flower_logins": {"value": "{}"},
    }
    # It is no worker that a command could ask.
    assert airflow_command_workers(held, ["x"]) == {}
    both = airflow_credentials(
        {"flower": FLOWER, "worker": row("broker_url", instances=WORKERS[:1])}, secrets, MORE | {"worker_users": users}
    )
    assert both["broker_url.x"]["value"] == "redis://w-x:p@b:6379/0"


@pytest.mark.parametrize(("read_only", "said"), [(True, "yes"), (False, "no")])
def test_flower_talks_with_the_workers_that_it_shows(*, read_only: bool, said: str) -> None:
    given = {"home": "/h", "config": {"dag_processor": {"dag_bundle_storage_path": "/b"}}, "bundles": "/c"}
    more = {"queues": [], "broker_database": 0, "flower_read_only": read_only, "backends": {}}
    found = airflow_unit_environment(FLOWER, FLOWER["instances"][0], given | more)
    assert found["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__FANOUT_PREFIX"] == "/0/x."
    assert found["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_KEY"] == "unacked.x,flower"
    assert found["AIRSTRIP_FLOWER_READ_ONLY"] == said


def test_a_backend_is_of_whoever_has_the_database_and_of_commands() -> None:
    environment = {"AIRFLOW__SECRETS__BACKEND": "a.B"}
    servers = {"credentials": ["secrets_backend"], "arguments": "{}", "environment": environment}
    more = MORE | {"backends": {"secrets_backend": servers}}
    both = {"api_server": row("database", "secrets_backend"), "scheduler": row("fernet_key")}
    held = airflow_credentials(both, SECRETS, more)
    assert held["secrets_backend"] == {"value": "{}", "option": "AIRFLOW__SECRETS__BACKEND_KWARGS"}
    assert [*airflow_command_credentials(held, more)] == ["database_url", "fernet_key", "secrets_backend"]
    given = {"home": "/h", "config": {"dag_processor": {"dag_bundle_storage_path": "/b"}}, "bundles": "/c"}
    given |= {"queues": [], "backends": more["backends"]}
    assert environment.items() <= airflow_unit_environment(both["api_server"], {"directory": "a"}, given).items()
    assert not environment.items() & airflow_unit_environment(both["scheduler"], {"directory": "s"}, given).items()
    # On a host without such a component, commands do without it.
    alone = airflow_credentials({"scheduler": row("database", "fernet_key")}, SECRETS, more)
    assert "secrets_backend" not in airflow_command_credentials(alone, more)


def test_local_files_are_read_and_no_command_asks_for_them() -> None:
    files = {"credentials": ["secrets_connections.json"], "arguments": "", "environment": {}}
    more = MORE | {"backends": {"secrets_backend": files}}
    secrets = SECRETS | {"secrets_connections.json": '{"a": "b"}'}
    held = airflow_credentials({"api_server": row("secrets_backend")}, secrets, more)
    assert held == {"secrets_connections.json": {"value": '{"a": "b"}'}}
