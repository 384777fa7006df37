"""A password in the URL of a proxy, an index or a wheelhouse is for root alone, and in no difference or argument."""

from typing import Any

import pytest
from airstrip_render import Role
from airstrip_tree import PROJECT, Tree

PASSWORD = "Xk9-url-password"  # noqa: S105
URL = f"https://user:{PASSWORD}@example.com/simple"
VARIABLES: dict[str, Any] = {
    "base_http_proxy": URL,
    "base_https_proxy": URL,
    "airflow_proxy_environment": {"http_proxy": URL, "https_proxy": URL},
    "airflow_package_index_url": URL,
    "airflow_wheelhouse": URL,
    "airflow_constraints": URL,
    "airflow_extra_packages": [f"ours @ {URL}"],
}


@pytest.mark.parametrize(
    ("role", "files", "expected"),
    [
        ("base", "__base_files", {"80airstrip-proxy"}),
        ("airflow", "__airflow_build_files", {"build.env", "constraints.txt", "requirements.in"}),
    ],
)
def test_files_with_a_password_are_for_root_alone(role: str, files: str, expected: set[str]) -> None:
    entries = Role(role, VARIABLES).evaluate(files)
    found = [entry for entry in entries if PASSWORD in entry.get("content", "")]
    assert {entry["path"].rpartition("/")[2] for entry in found} == expected
    assert {entry["mode"] for entry in found} == {"0600"}


def test_differences_do_not_show_a_password() -> None:
    for role, files in (("base", "__base_files"), ("airflow", "__airflow_files")):
        found = [entry for entry in Role(role, VARIABLES).evaluate(files) if PASSWORD in entry.get("content", "")]
        assert [entry["path"] for entry in found if not entry.get("secret")] == []
        assert found


def test_without_a_password_everybody_may_read_apts_configuration() -> None:
    (entry,) = [
        entry
        for entry in Role("base", {"base_http_proxy": "http://example.com:3128"}).evaluate("__base_files")
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
