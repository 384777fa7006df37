"""The module airflow_user against a real Airflow: created, left alone, changed, tried out, deleted."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_airflow import Airflow
from airstrip_site import Site

pytestmark = pytest.mark.only_in("single_node")
NAME = "airstrip-ada"
ADA = {
    "username": NAME, "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "roles": ["Viewer"],
}  # fmt: skip


class Module:
    """Runs of the module by Ansible on the API server's host."""

    def __init__(self, site: Site, directory: Path) -> None:
        self._site = site
        self._hostname = site.group("airflow_api_server")[0]
        self._variables = directory / "variables.yml"
        self.password = secrets.token_urlsafe(24)
        self._variables.write_text(yaml.safe_dump({"ada_password": self.password}), encoding="utf-8")

    def run(self, arguments: dict[str, Any], *options: str) -> tuple[bool, str]:
        """Run it; return whether it reports a change, and its output. Raise RuntimeError if it fails."""
        api = {
            # The server itself: load balancers count logins.
            "api_url": f"http://127.0.0.1:{self._site.variable(self._hostname, 'site_api_server_port')}",
            "api_username": "admin",
            "api_password": "{{ airflow_admin_password }}",
        }
        result = self._site.command(
            "ansible", self._hostname, "-m", "airflow_user", "-a", json.dumps(api | arguments),
            "-e", f"@{self._variables}", *options,
        )  # fmt: skip
        told = [value for value in (self.password, *self._site.secrets.values()) if value in result.stdout]
        assert not told
        if result.returncode != 0:
            raise RuntimeError(result.stdout + result.stderr)
        found = re.search(r'"?changed"?: (true|false)', result.stdout)
        assert found is not None, result.stdout
        return found[1] == "true", result.stdout


@pytest.fixture(scope="module")
def module(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Module:
    return Module(site, tmp_path_factory.mktemp("airflow-user"))


def known(airflow: Airflow, name: str = NAME) -> dict[str, Any]:
    """Return the user as Airflow has it; empty if there is none."""
    users: list[dict[str, Any]] = airflow.request("GET", "/auth/fab/v1/users", limit="100")["users"]
    return next((user for user in users if user["username"] == name), {})


def test_life_of_a_user(module: Module, airflow: Airflow, site: Site) -> None:
    with_password = ADA | {"password": "{{ ada_password }}"}

    assert module.run(with_password, "--check")[0]
    assert known(airflow) == {}

    assert module.run(with_password)[0]
    assert known(airflow)["email"] == "ada@example.com"
    assert [role["name"] for role in known(airflow)["roles"]] == ["Viewer"]
    own = site.airflow(NAME, module.password)

    assert not module.run(with_password)[0]
    # The password is not reset behind the user's back, neither by a run without it nor by one with another.
    assert not module.run(ADA)[0]
    assert not module.run(ADA | {"password": "x" * 24})[0]
    assert site.airflow(NAME, module.password).url == own.url

    changed, output = module.run(ADA | {"roles": ["User", "Op"], "email": "new@example.com"}, "--diff")
    assert changed
    assert "new@example.com" in output
    assert "ada@example.com" in output
    assert sorted(role["name"] for role in known(airflow)["roles"]) == ["Op", "User"]
    assert known(airflow)["email"] == "new@example.com"

    assert module.run(
        with_password | {"roles": ["User", "Op"], "email": "new@example.com", "update_password": "always"}
    )[0]
    assert module.run({"username": NAME, "state": "absent"}, "--check")[0]
    assert known(airflow) != {}
    assert module.run({"username": NAME, "state": "absent"})[0]
    assert known(airflow) == {}
    assert not module.run({"username": NAME, "state": "absent"})[0]


@pytest.mark.parametrize("name", ["ada@example.com", "Ada Müller", "100% ada", "ada+test?#"])
def test_user_with_an_odd_name_is_found_again(name: str, module: Module, airflow: Airflow) -> None:
    wanted = ADA | {"username": name, "email": "odd@example.com", "password": "{{ ada_password }}"}
    assert module.run(wanted)[0]
    assert known(airflow, name)["email"] == "odd@example.com"
    assert not module.run(wanted)[0]
    assert module.run(wanted | {"last_name": "Byron"})[0]
    assert known(airflow, name)["last_name"] == "Byron"
    assert module.run({"username": name, "state": "absent"})[0]
    assert known(airflow, name) == {}
    assert not module.run({"username": name, "state": "absent"})[0]


def test_name_with_a_slash_is_refused(module: Module, airflow: Airflow) -> None:
    with pytest.raises(RuntimeError, match="has a slash"):
        module.run(ADA | {"username": "a/b", "password": "{{ ada_password }}"})
    assert known(airflow, "a/b") == {}


def test_role_that_does_not_exist_is_refused(module: Module, airflow: Airflow) -> None:
    with pytest.raises(RuntimeError, match="NoSuchRole"):
        module.run(ADA | {"roles": ["NoSuchRole"], "password": "{{ ada_password }}"})
    assert known(airflow) == {}


def test_user_without_password_is_not_created(module: Module, airflow: Airflow) -> None:
    with pytest.raises(RuntimeError, match="its creation needs a password"):
        module.run(ADA)
    assert known(airflow) == {}
