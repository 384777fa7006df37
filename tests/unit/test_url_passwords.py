"""A password in the URL of a proxy, an index or a wheelhouse is for root alone, and in no difference or argument."""

from collections.abc import Callable
from typing import Any

import pytest
from airstrip_render import Role, written
from airstrip_tree import PROJECT, Tree

PASSWORD = "Xk9-url-password"  # noqa: S105
URL = f"https://user:{PASSWORD}@example.com/simple"
VARIABLES: dict[str, Any] = {
    "base_http_proxy": URL,
    "base_https_proxy": URL,
    "airflow_proxy_environment": {"http_proxy": URL, "https_proxy": URL},
    "airflow_release_package_index_url": URL,
    "airflow_release_wheelhouse": URL,
    "airflow_release_constraints": URL,
    "airflow_release_extra_packages": [f"ours @ {URL}"],
}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (lambda: written("base", "files", Role("base", VARIABLES)), {"80airstrip-proxy"}),
        (
            lambda: written("airflow_release", "begin", Role("airflow_release", VARIABLES)),
            {"build.env", "constraints.txt", "requirements.in"},
        ),
    ],
    ids=["base", "airflow_release"],
)
def test_files_with_a_password_are_for_root_alone(
    entries: Callable[[], list[dict[str, Any]]], expected: set[str]
) -> None:
    found = [entry for entry in entries() if PASSWORD in entry.get("content", "")]
    assert {entry["path"].rpartition("/")[2] for entry in found} == expected
    assert {entry["mode"] for entry in found} == {"0600"}


def test_differences_do_not_show_a_password() -> None:
    base = written("base", "files", Role("base", VARIABLES))
    for entries in (base, written("airflow", "configure", Role("airflow", VARIABLES))):
        found = [entry for entry in entries if PASSWORD in entry.get("content", "")]
        assert [entry["path"] for entry in found if not entry.get("secret")] == []
        assert found


def test_without_a_password_everybody_may_read_apts_configuration() -> None:
    (entry,) = [
        entry
        for entry in written("base", "files", Role("base", {"base_http_proxy": "http://example.com:3128"}))
        if entry["path"].endswith("80airstrip-proxy")
    ]
    assert (entry["mode"], entry["secret"]) == ("0644", False)


def test_no_task_has_a_proxy_in_its_environment() -> None:
    """Ansible sets it in the command line of a shell."""
    found = [
        task.name
        for role in ("base", "airflow")
        for task in Tree(PROJECT).tasks(role)
        if "environment" in task.keys and "PGOPTIONS" not in str(task.keys["environment"])
    ]
    assert found == []
