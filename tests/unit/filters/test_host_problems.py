"""What of a host's system stands in the way of a site."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from host_problems import airflow_host_problems

HERE = {"ports": [{"port": 8080, "owner": "site_api_server_port"}, {"port": 5432, "owner": "site_database_port"}]}
SITE = {
    "known": {
        "postgresql": {"units": ["postgresql@*-main.service"]},
        "worker": {"units": ["airflow-worker@*.service"]},
    },
    "vars": {"shared_storage_path": "/srv/airflow", "user": "airflow", "uid": 50000, "group": "airflow", "gid": 50000},
}
FREE: dict[str, Any] = {"uid": None, "processes": [], "owner": ""}


def problems(placed: str = "", sources: dict[str, list[str]] | None = None, **system: Any) -> list[str]:
    said = {
        "sources": sources or {},
        "record": {"components": {"old": {"units": [placed]}} if placed else {}},
        "system": {
            "listeners": [],
            "no_exec": [],
            "missing": {},
            "user": FREE,
            "group": {"gid": None, "owner": ""},
            **system,
        },
    }
    return airflow_host_problems(said, HERE, SITE)


def listener(port: int = 8080, process: str = "python3", unit: str = "") -> dict[str, Any]:
    return {"port": port, "process": process, "unit": unit}


@pytest.mark.parametrize(
    "given",
    [
        {},
        # Before the first run.
        {"missing": {"airflow_plugins_folder": "/srv/airflow/plugins"}},
        {"listeners": [listener(5432, "postgres", "postgresql@17-main.service")]},
        # Of no registry any more, and about to leave.
        {"listeners": [listener(8080, "cat", "old.service")], "placed": "old.service"},
        {
            "user": {"uid": 50000, "processes": ["airflow"], "owner": "airflow"},
            "group": {"gid": 50000, "owner": "airflow"},
        },
    ],
)
def test_these_are_fine(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"listeners": [listener(unit="squatter.service")]},
            "site_api_server_port: port 8080 is held by python3 (squatter.service), which is none of the site. Stop it "
            "(systemctl disable --now squatter.service), or set site_api_server_port to another port.",
        ),
        (
            {"listeners": [listener(5432, "postgres", "postgresql@17-other.service")]},
            "site_database_port: port 5432 is held by postgres (postgresql@17-other.service)",
        ),
        (
            {"listeners": [listener(unit="session-3.scope")]},
            "(session-3.scope), which is none of the site. Stop it, or",
        ),
        ({"listeners": [listener(process="")]}, "port 8080 is held by an unknown process, which"),
        (
            {"no_exec": ["/opt/airflow"]},
            "site_install_directory: /opt/airflow is on a file system that is mounted with noexec, so nothing "
            "installed there could run. Mount it with exec, or set site_install_directory to another directory.",
        ),
        (
            {"missing": {"airflow_dags_folder": "/srv/dags"}},
            "airflow_dags_folder is /srv/dags, and there is no such directory. Make it, or leave airflow_dags_folder "
            "out: then it is /srv/airflow/dags, which a run makes.",
        ),
        (
            {"user": {"uid": 1001, "processes": ["sleep"], "owner": ""}},
            "site_user: there is a user airflow with the id 1001, with processes (sleep), and the site's has 50000. "
            "Set site_uid to 1001 if every host has it, take an old installation of Airflow over",
        ),
        (
            {"user": FREE | {"owner": "backup"}},
            "site_uid: the id 50000 is that of the user backup. Set site_uid to one that is free on all hosts.",
        ),
        (
            {"group": {"gid": 997, "owner": ""}},
            "site_group: there is a group airflow with the id 997, and the site's has 50000. Set site_gid to 997",
        ),
        ({"group": {"gid": None, "owner": "users"}}, "site_gid: the id 50000 is that of the group users. Set site_gid"),
    ],
)
def test_what_stands_in_the_way_is_refused(given: dict[str, Any], message: str) -> None:
    (problem,) = problems(**given)
    assert problem.startswith(message) or message in problem


def test_sources_of_packages_are_refused_by_file_and_with_what_apt_says() -> None:
    assert problems(sources={"discs": [], "silent": []}) == []
    found = problems(
        sources={"discs": ["/etc/apt/sources.list"], "silent": ["http://a x: gone", "http://b x: refused"]}
    )
    assert [problem.partition(". ")[0] for problem in found] == [
        "/etc/apt/sources.list names a disc as a source of packages (cdrom:), which nobody puts in during a run",
        "apt cannot read its sources of packages: http://a x: gone; http://b x: refused",
    ]


def test_of_a_host_that_was_not_asked_nothing_is_said() -> None:
    assert airflow_host_problems({"system": {}, "sources": {}, "record": {"components": {}}}, HERE, SITE) == []


def test_an_answer_that_lacks_something_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="listeners"):
        airflow_host_problems({"system": {"ports": []}, "sources": {}, "record": {}}, HERE, SITE)
