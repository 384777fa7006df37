"""airflow.cfg as data: what is rendered is what Airflow's parser reads back."""

import json
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from airflow_config import (
    airflow_config_merge,
    airflow_config_secrets,
    airflow_config_unknown,
    airflow_config_unsupported,
    airflow_config_value,
)
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

LOCKS = Path(__file__).parents[3] / "roles" / "airflow_release" / "files" / "locks"
OPTIONS = {
    "version": "3.3.2",
    "renamed": {"core.dag_concurrency": "core.max_active_tasks_per_dag", "webserver.web_server_port": "api.port"},
    "sections": {
        "core": {"options": ["executor", "fernet_key", "parallelism"], "open": False, "sensitive": ["fernet_key"]},
        "scheduler": {"options": ["scheduler_heartbeat_sec", "max_tis_per_query"], "open": False},
        "dag_processor": {"options": ["parsing_processes"], "open": False},
        "celery_broker_transport_options": {"options": ["visibility_timeout"], "open": True},
    },
}


def _block(options: dict[str, Any], enabled: bool = True) -> dict[str, Any]:
    return {"enabled": enabled, "options": options}


def _read_back(text: str) -> str:
    parser = ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(f"[core]\nbefore = 1\nvalue = {text}\nafter = 2\n")
    assert sorted(parser["core"]) == ["after", "before", "value"]
    assert parser["core"]["after"] == "2"
    return parser["core"]["value"]


def test_merge_takes_enabled_blocks_then_overrides_sorted() -> None:
    blocks = {
        "core": _block({"core": {"parallelism": 32, "executor": "CeleryExecutor"}}),
        "celery": _block({"celery": {"worker_concurrency": 8}}, enabled=False),
        "logging": _block({"api": {"base_url": "http://a"}}),
    }
    merged = airflow_config_merge(blocks, {"core": {"parallelism": 64, "load_examples": False}})
    assert merged == {
        "api": {"base_url": "http://a"},
        "core": {"executor": "CeleryExecutor", "load_examples": False, "parallelism": 64},
    }
    assert list(merged) == ["api", "core"]
    assert list(merged["core"]) == ["executor", "load_examples", "parallelism"]


def test_null_override_removes_the_option_and_an_emptied_section() -> None:
    blocks = {"a": _block({"core": {"executor": "x"}, "api": {"port": 1, "host": "h"}})}
    overrides = {"core": {"executor": None}, "api": {"port": None}, "new": {"absent": None}}
    assert airflow_config_merge(blocks, overrides) == {"api": {"host": "h"}}


def test_blocks_may_agree_but_not_disagree() -> None:
    one, two = _block({"core": {"executor": "x"}}), _block({"core": {"executor": "y"}})
    assert airflow_config_merge({"a": one, "b": one}, {}) == {"core": {"executor": "x"}}
    with pytest.raises(AnsibleFilterError, match=r"blocks 'a' and 'b' disagree on core\.executor; disable one"):
        airflow_config_merge({"a": one, "b": two}, {})
    assert airflow_config_merge({"a": one, "b": two | {"enabled": False}}, None) == {"core": {"executor": "x"}}


@pytest.mark.parametrize(
    ("blocks", "overrides", "message"),
    [
        ([], {}, "blocks must be a mapping, found list"),
        ({"a": {"enabled": "yes", "options": {}}}, {}, "block 'a' needs 'enabled' with the value true or false"),
        ({"a": {"options": {}}}, {}, "block 'a' needs 'enabled'"),
        ({"a": {"enabled": True}}, {}, "block 'a' options must be a mapping, found NoneType"),
        ({}, {"core": "x"}, r"airflow_config_overrides\.core must be a mapping, found str"),
        ({}, "x", "airflow_config_overrides must be a mapping, found str"),
        ({}, {"co]re": {}}, r"'co\]re' cannot be a section name"),
        ({}, {"DEFAULT": {}}, "'DEFAULT' cannot be a section name"),
        ({}, {"core\n[api]": {}}, "cannot be a section name"),
        ({}, {"core": {"a = b\nc": 1}}, "cannot be an option name"),
        ({}, {"core": {"a:b": 1}}, "'a:b' cannot be an option name"),
        ({}, {"core": {"#a": 1}}, "'#a' cannot be an option name"),
        ({}, {"core": {"": 1}}, "'' cannot be an option name"),
    ],
)
def test_merge_refuses(blocks: Any, overrides: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_config_merge(blocks, overrides)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "True"),
        (False, "False"),
        (16, "16"),
        (0.5, "0.5"),
        ("{{ ti.x }} # no comment", "{{ ti.x }} # no comment"),
        ("%(asctime)s 50%", "%%(asctime)s 50%%"),
        (["a", 1], '["a",1]'),
        ({"max_retries": None, "on": True}, '{"max_retries":null,"on":true}'),
        ({"format": "%d"}, '{"format":"%%d"}'),
        ("first\nsecond\n", "first\n    second"),
        ("[\n  {\n  }\n]\n", "[\n    {\n    }\n    ]"),
        ("a\n\nb", "a\n\n    b"),
    ],
)
def test_value_is_rendered(value: Any, text: str) -> None:
    assert airflow_config_value(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (" x", "drops the spaces around a value"),
        ("x\r\ny", "control characters or carriage returns"),
        ("x\0", "control characters"),
        ("x\n# y", "starts with # or ; would be a comment"),
        ("x\n  ; y", "starts with # or ; would be a comment"),
        (b"x", "cannot write a bytes"),
        ({"a": b"x"}, "cannot be written as JSON"),
        ([float("nan")], "cannot be written as JSON"),
    ],
)
def test_value_refuses_what_airflow_would_read_differently(value: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_config_value(value)


printable = st.text(st.characters(exclude_categories=("Cs", "Cc")))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=8,
)


@given(printable.filter(lambda text: text == text.strip()))
def test_any_single_line_is_read_back(text: str) -> None:
    assert _read_back(airflow_config_value(text)) == text


@given(st.lists(printable.map(str.strip).filter(lambda line: not line.startswith(("#", ";"))), min_size=2, max_size=5))
def test_any_lines_are_read_back(lines: list[str]) -> None:
    assert _read_back(airflow_config_value("\n".join(lines))) == "\n".join(lines).rstrip("\n")


@given(st.lists(json_values, max_size=4) | st.dictionaries(printable, json_values, max_size=4))
def test_any_json_is_read_back(value: Any) -> None:
    assert json.loads(_read_back(airflow_config_value(value))) == value


@given(st.text())
def test_any_text_is_read_back_or_refused(text: str) -> None:
    try:
        rendered = airflow_config_value(text)
    except AnsibleFilterError:
        return
    assert _read_back(rendered) == "\n".join(line.strip() for line in text.split("\n")).rstrip("\n")


overridden = st.dictionaries(st.sampled_from("abc"), st.integers())


@given(st.dictionaries(st.sampled_from(["core", "api", "celery"]), overridden))
def test_an_override_always_wins(overrides: dict[str, dict[str, int]]) -> None:
    blocks = {"one": _block({"core": {"a": -1, "z": -2}})}
    merged = airflow_config_merge(blocks, overrides)
    for section, options in overrides.items():
        assert {option: merged[section][option] for option in options} == options
    assert merged["core"]["z"] == -2


def test_unknown_names_come_with_the_near_one() -> None:
    overrides = {
        "schedular": {"max_tis_per_query": 1},
        "core": {"paralelism": 1, "Executor": "x", "executor": "x"},
        "scheduler": {"parsing_processes": 2, "zzz": 1},
    }
    assert airflow_config_unknown(overrides, OPTIONS) == [
        "airflow_config_overrides: section 'schedular' is unknown to Airflow 3.3.2; did you mean 'scheduler'?",
        "airflow_config_overrides: option 'core.paralelism' is unknown to Airflow 3.3.2; did you mean 'parallelism'?",
        "airflow_config_overrides: option 'core.Executor' is unknown to Airflow 3.3.2; did you mean 'executor'?",
        "airflow_config_overrides: option 'scheduler.parsing_processes' is unknown to Airflow 3.3.2; "
        "it belongs to section 'dag_processor'",
        "airflow_config_overrides: option 'scheduler.zzz' is unknown to Airflow 3.3.2",
    ]


def test_renamed_options_come_with_the_new_name() -> None:
    overrides = {"core": {"dag_concurrency": 1}, "webserver": {"web_server_port": 1}}
    assert airflow_config_unknown(overrides, OPTIONS) == [
        "airflow_config_overrides: option 'core.dag_concurrency' is unknown to Airflow 3.3.2; "
        "it is called 'core.max_active_tasks_per_dag' now",
        "airflow_config_overrides: option 'webserver.web_server_port' is unknown to Airflow 3.3.2; "
        "it is called 'api.port' now",
    ]
    both = airflow_config_unknown({"webserver": {"web_server_port": 1, "rbac": 1}}, OPTIONS)
    assert [problem.partition(" is unknown")[0] for problem in both] == [
        "airflow_config_overrides: option 'webserver.web_server_port'",
        "airflow_config_overrides: section 'webserver'",
    ]
    assert len(airflow_config_unknown({"webserver": {}}, OPTIONS)) == 1


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*/options.json")), ids=lambda path: path.parent.name)
def test_options_of_the_shipped_versions(path: Path) -> None:
    options = json.loads(path.read_text())
    fine = {
        "core": {"executor": "CeleryExecutor", "fernet_key_cmd": "cat key"},
        "celery": {"worker_concurrency": 4, "broker_url_secret": "broker"},
        "celery_broker_transport_options": {"socket_keepalive": True},
        "fab": {"cookie_secure": True},
    }
    assert airflow_config_unknown(fine, options) == []
    assert airflow_config_unknown({"core": {"executer": "x"}}, options) == [
        f"airflow_config_overrides: option 'core.executer' is unknown to Airflow {path.parent.name}; "
        "did you mean 'executor'?"
    ]


def test_open_sections_team_sections_and_commands_pass() -> None:
    overrides = {
        "celery_broker_transport_options": {"socket_keepalive": True},
        "team_a=core": {"parallelism": 4},
        "core": {"fernet_key_cmd": "cat key", "fernet_key_secret": "key"},
    }
    assert airflow_config_unknown(overrides, OPTIONS) == []
    assert airflow_config_unknown(None, OPTIONS) == []


def test_commands_of_other_options_and_options_of_unknown_teams_do_not_pass() -> None:
    overrides = {"core": {"parallelism_cmd": "nproc"}, "team_a=cor": {"parallelism": 4}}
    assert airflow_config_unknown(overrides, OPTIONS) == [
        "airflow_config_overrides: option 'core.parallelism_cmd' is unknown to Airflow 3.3.2; "
        "did you mean 'parallelism'?",
        "airflow_config_overrides: section 'team_a=cor' is unknown to Airflow 3.3.2; did you mean 'core'?",
    ]


SENSITIVE = {
    "renamed": {"core.sql_alchemy_conn": "database.sql_alchemy_conn"},
    "sections": {"core": {"sensitive": ["fernet_key"]}, "sentry": {"sensitive": ["sentry_dsn"]}, "smtp": {}},
}


@pytest.mark.parametrize(
    ("section", "option", "variable"),
    [
        ("database", "sql_alchemy_conn", "airflow_database_*"),
        ("database", "sql_alchemy_conn_async_cmd", "airflow_database_*"),
        ("celery", "broker_url", "airflow_broker_*"),
        ("celery", "result_backend_secret", "airflow_results_database_*"),
        ("core", "Fernet_Key", "airflow_fernet_key"),
        ("api", "secret_key", "airflow_api_secret_key"),
        ("api_auth", "jwt_secret", "airflow_jwt_secret"),
        ("fab", "config_file", "airflow_webserver_config"),
        ("sentry", "sentry_dsn", "sentry.sentry_dsn_cmd"),
    ],
)
def test_secrets_are_found_in_overrides_and_environment(section: str, option: str, variable: str) -> None:
    (problem,) = airflow_config_secrets({section: {option: "Xk9-value"}}, {}, SENSITIVE)
    assert problem.startswith(f"airflow_config_overrides: {section}.{option} is a ")
    assert variable in problem
    name = f"AIRFLOW__{section}__{option}".upper()
    (problem,) = airflow_config_secrets(None, {name: "Xk9-value"}, SENSITIVE)
    assert problem.startswith(f"airflow_environment: {section}.{option.lower()} is a ")
    assert variable in problem
    assert "Xk9" not in problem


def test_secrets_are_found_by_their_old_names_and_without_a_table() -> None:
    (problem,) = airflow_config_secrets({}, {"AIRFLOW__CORE__SQL_ALCHEMY_CONN": "x"}, SENSITIVE)
    assert problem.startswith("airflow_environment: database.sql_alchemy_conn is a credential")
    assert airflow_config_secrets({"core": {"fernet_key": "x"}, "sentry": {"sentry_dsn": "x"}}, {}, {}) == [
        "airflow_config_overrides: core.fernet_key is a credential, or leads to one, which components get another way. "
        "Set airflow_fernet_key."
    ]


def test_commands_and_what_is_no_secret_pass() -> None:
    overrides = {"sentry": {"sentry_dsn_cmd": "cat /etc/airflow/dsn", "on": True}, "core": {"fernet_key": None}}
    environment = {"AIRFLOW__SENTRY__SENTRY_DSN_CMD": "cat /etc/airflow/dsn", "AIRFLOW__CORE": "x", "TZ": "UTC"}
    assert airflow_config_secrets(overrides, environment, SENSITIVE) == []


def test_there_are_shipped_versions() -> None:
    assert len(list(LOCKS.glob("*/options.json"))) >= 3


FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"


@pytest.mark.parametrize(
    ("overrides", "environment", "base_url"),
    [
        (None, {}, ""),
        (
            {"core": {"auth_manager": FAB}},
            {"AIRFLOW__API__BASE_URL": "https://air.example.com/"},
            "http://10.0.0.1:8080",
        ),
    ],
)
def test_what_a_site_can_have_is_supported(overrides: Any, environment: Any, base_url: str) -> None:
    assert airflow_config_unsupported(overrides, environment, base_url) == []


@pytest.mark.parametrize(
    ("overrides", "environment", "base_url", "message"),
    [
        (
            {"core": {"auth_manager": SIMPLE}},
            {},
            "",
            f"airflow_config_overrides: core.auth_manager is {SIMPLE}, and a site's users, roles and logins are those "
            "of FAB. Take it out; LDAP, OAuth and OpenID Connect are FAB's as well, by site_ldap and "
            "site_oauth_providers (docs/identity.md).",
        ),
        (
            {"celery_broker_transport_options": {"master_name": "mymaster"}},
            {},
            "",
            "airflow_config_overrides: celery_broker_transport_options.master_name is for Redis Sentinel, which is not "
            "supported. Take it out, and name in site_broker_host",
        ),
        ({}, {"AIRFLOW__CORE__AUTH_MANAGER": "x"}, "", "airflow_environment: core.auth_manager is x, and"),
        (
            {},
            {},
            "https://tools.example.com/airflow",
            "airflow_base_url is https://tools.example.com/airflow, which has more than a host and a port: tasks, "
            "load balancers and health checks ask for the API at the root. Give Airflow a host name of its own, and "
            "take the path out.",
        ),
        ({"api": {"base_url": "http://a/b/"}}, {}, "", "airflow_config_overrides: api.base_url is http://a/b/, which"),
        (
            {},
            {},
            "airflow.example.com",
            "airflow_base_url is 'airflow.example.com', which is no URL. Write it as https://",
        ),
    ],
)
def test_what_a_site_cannot_have_is_refused(overrides: Any, environment: Any, base_url: str, message: str) -> None:
    (problem,) = airflow_config_unsupported(overrides, environment, base_url)
    assert problem.startswith(message)


def test_unknown_refuses_wrong_types() -> None:
    with pytest.raises(AnsibleFilterError, match="options must be a mapping"):
        airflow_config_unknown({}, [])
    with pytest.raises(AnsibleFilterError, match=r"options\.sections must be a mapping"):
        airflow_config_unknown({}, {"version": "3.3.2"})
