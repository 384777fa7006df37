"""Resources are declared: made, mended, told without secrets, purged when that is said, and exported."""

from __future__ import annotations

import copy
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from airstrip_site import Site, read_secrets

SECRETS = (secrets.token_hex(16), secrets.token_hex(16))
# `[fab] cache_ttl`, 30 s, and the time of a request.
CACHED = 45
# What molecule.yml declares is declared here anew, so that a test's variables are all that there is.
DECLARED: dict[str, list[dict[str, Any]]] = {
    "airflow_pools": [{"name": "warehouse", "slots": 4}],
    "airflow_variables": [{"key": "greeting", "value": {"a": [1, "{{ no_template }}"]}}],
    "airflow_connections": [
        {
            "connection_id": "dwh", "conn_type": "postgres", "host": "db", "login": "etl", "password": SECRETS[0],
            "extra": {"sslmode": "require", "token": SECRETS[0]},
        }
    ],
    "airflow_roles": [{"name": "Reader", "permissions": ["can read on DAGs", "can read on Pools"]}],
    "airflow_users": [{"username": "ada", "email": "ada@example.com", "roles": ["Reader"]}],
}  # fmt: skip


class Declared:
    """Runs of site.yml with other declarations."""

    def __init__(self, site: Site, directory: Path, node: Any) -> None:
        self.site, self.node, self.output = site, node, ""
        self._file = directory / "declared.yml"

    def run(self, declared: dict[str, Any], *options: str, tags: str = "airflow_resources") -> bool:
        """Return whether a run changed anything; raise RuntimeError if it fails. No secret may be in its output."""
        # As data, of which nothing is a template.
        self._file.write_text(_unsafe(declared), encoding="utf-8")
        result = self.site.command(
            "ansible-playbook", "site.yml", "--tags", tags, "-e", f"@{self._file}", "--diff", *options
        )
        self.output = result.stdout + result.stderr
        assert not [secret for secret in (*SECRETS, *self.site.secrets.values()) if secret in self.output]
        if result.returncode:
            raise RuntimeError(self.output)
        return any(int(count) for count in re.findall(r"changed=(\d+)", self.output))

    def airflow(self, *arguments: str) -> Any:
        """Return what Airflow's command says, which shows secrets, too."""
        said = self.node.check_output(" ".join(["airflow", *arguments, "--output", "json"]))
        # Log lines may stand before it.
        return json.loads(said[re.search(r"^\[", said, re.MULTILINE).start() :])  # type: ignore[union-attr]

    def names(self, kind: str, key: str) -> set[str]:
        """Return the names of what there is of a kind."""
        return {entry[key] for entry in self.airflow(kind, "list")}

    def status(self, user: str, password: str, method: str, path: str, body: Any = None) -> int:
        """Return the HTTP status of a request as a user, or of the login that it needs; 200 for all that is well."""
        try:
            self.site.airflow(user, password).request(method, path, body)
        except requests.HTTPError as error:
            return error.response.status_code
        return int(requests.codes.ok)

    def becomes(self, wanted: int, *request: Any) -> None:
        """Return once a request has this status; fail if it has not when what API servers know of a user is anew."""
        end = time.monotonic() + CACHED
        while (found := self.status(*request)) != wanted:
            assert time.monotonic() < end, f"{found}, not {wanted}: {request[2:]}"
            time.sleep(2)


def _unsafe(value: Any) -> str:
    """Return YAML in which each text that looks like a template is none."""
    return re.sub(r"'(\{\{[^']*\}\})'", r"!unsafe '\1'", yaml.safe_dump(value, sort_keys=False))


@pytest.fixture(scope="module", name="declared")
def fixture_declared(site: Site, node: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    found = Declared(site, tmp_path_factory.mktemp("resources"), node)
    found.run(DECLARED)
    yield found
    # Back to what the scenario declares.
    site.command("ansible-playbook", "site.yml", "--tags", "airflow_resources")


def test_what_is_declared_is_there(declared: Declared) -> None:
    (connection,) = declared.airflow("connections", "get", "dwh")
    assert (connection["password"], connection["host"]) == (SECRETS[0], "db")
    extra = connection["extra_dejson"]
    assert (extra if isinstance(extra, dict) else json.loads(extra.replace("'", '"')))["token"] == SECRETS[0]
    assert "warehouse" in declared.names("pools", "pool")
    assert not declared.run(DECLARED), declared.output


def test_a_user_may_what_his_role_says(declared: Declared) -> None:
    password = read_secrets(declared.site.directory / "secrets.yml")["airflow_user_ada"]
    declared.becomes(200, "ada", password, "GET", "/api/v2/pools")
    assert declared.status("ada", password, "POST", "/api/v2/pools", {"name": "no", "slots": 1}) == 403
    assert declared.status("ada", password, "GET", "/api/v2/variables") == 403
    more = DECLARED | {"airflow_roles": [{"name": "Reader", "permissions": ["can read on Variables"]}]}
    assert declared.run(more)
    assert "-'can_read on Pools'" in declared.output
    declared.becomes(200, "ada", password, "GET", "/api/v2/variables")
    declared.becomes(403, "ada", password, "GET", "/api/v2/pools")
    assert declared.run(DECLARED)


def test_what_somebody_changed_is_put_back(declared: Declared) -> None:
    declared.node.check_output("airflow pools set warehouse 9 drift")
    assert declared.run(DECLARED, "--check")
    assert "pools: warehouse: description" in declared.output
    assert "slots 9 -> 4" in declared.output
    assert [pool["slots"] for pool in declared.airflow("pools", "list") if pool["pool"] == "warehouse"] == ["9"]
    assert declared.run(DECLARED)
    assert [pool["slots"] for pool in declared.airflow("pools", "list") if pool["pool"] == "warehouse"] == ["4"]


def test_another_secret_is_noticed(declared: Declared) -> None:
    other = copy.deepcopy(DECLARED)
    other["airflow_connections"][0]["password"] = SECRETS[1]
    assert declared.run(other)
    assert "connections: dwh: password (not shown)" in declared.output
    assert declared.airflow("connections", "get", "dwh")[0]["password"] == SECRETS[1]
    assert not declared.run(other)
    assert declared.run(DECLARED)


def test_digests_are_roots_alone(declared: Declared) -> None:
    record = declared.node.file("/etc/airstrip/airflow-resources/digests.json")
    assert (record.user, record.mode) == ("root", 0o600)
    assert not [secret for secret in SECRETS if secret in record.content_string]


def test_what_is_not_declared_stays_until_it_is_purged(declared: Declared) -> None:
    declared.node.check_output("airflow pools set clicked 3 by-hand")
    assert not declared.run(DECLARED)
    purge = DECLARED | {"airflow_resources_purge": ["pools", "users", "roles"]}
    assert declared.run(purge, "--check")
    assert "pools: clicked is deleted, since it is not declared" in declared.output
    assert "clicked" in declared.names("pools", "pool")
    assert declared.run(purge)
    assert declared.names("pools", "pool") == {"default_pool", "warehouse"}
    assert declared.names("users", "username") == {"admin", "ada"}
    assert {"Admin", "Op", "User", "Viewer", "Public", "Reader"} == declared.names("roles", "name")
    assert not declared.run(purge)


def test_an_export_is_a_declaration(declared: Declared, tmp_path: Path) -> None:
    exported = tmp_path / "resources.yml"
    result = declared.site.command(
        "ansible-playbook", "playbooks/export_resources.yml", "-e", f"export_resources_file={exported}"
    )
    assert result.returncode == 0, result.stdout
    text = exported.read_text(encoding="utf-8")
    assert '#   connection "dwh": password' in text
    assert SECRETS[0] not in text
    run = declared.site.command("ansible-playbook", "site.yml", "--tags", "airflow_resources", "-e", f"@{exported}")
    assert re.search(r"changed=0 +unreachable=0 +failed=0", run.stdout), run.stdout


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"airflow_connections": [{"connection_id": "a"}]}, "the connection 'a' has no conn_type"),
    "slots": ({"airflow_pools": [{"name": "a", "slots": 0}]}, "the pool 'a' has 0 slots"),
    "permission": ({"airflow_roles": [{"name": "R", "permissions": ["can read on Pool"]}]}, "Did you mean 'Pools'?"),
    "role": ({"airflow_users": [{"username": "a", "email": "a", "roles": ["Viewr"]}]}, "Did you mean 'Viewer'?"),
    "old name": ({"airflow_users_accounts": []}, "airflow_users"),
}


@pytest.mark.parametrize(("wrong", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_before_anything_changes(declared: Declared, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError) as failed:
        declared.run(DECLARED | wrong, tags="validate")
    assert message in str(failed.value)


def test_many_are_few_requests(declared: Declared, record_property: Callable[[str, object], None]) -> None:
    """50 pools, 200 variables and 100 connections: what a second run of all costs, against one of none."""
    many = {
        "airflow_pools": [{"name": f"pool-{number}", "slots": 1} for number in range(50)],
        "airflow_variables": [{"key": f"key-{number}", "value": f"value {number}"} for number in range(200)],
        "airflow_connections": [
            {"connection_id": f"conn-{number}", "conn_type": "http", "password": SECRETS[0]} for number in range(100)
        ],
        "airflow_roles": [], "airflow_users": [],
    }  # fmt: skip
    none: dict[str, Any] = {name: [] for name in DECLARED}
    assert declared.run(many)
    seconds = {}
    for name, entries in (("none", none), ("many", many)):
        assert not declared.run(entries, tags="all")
        begun = time.monotonic()
        assert not declared.run(entries, tags="all")
        seconds[name] = time.monotonic() - begun
    record_property("seconds of site.yml", seconds)
    assert seconds["many"] <= 1.1 * seconds["none"], seconds
    assert declared.run(none | {"airflow_resources_purge": ["pools", "variables", "connections"]})
