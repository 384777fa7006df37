"""What roles/preflight/files/look.py tells of the host that it runs on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT

LOOK = PROJECT / "roles" / "preflight" / "files" / "look.py"


def look(variables: dict[str, str], *command: str, root: str = "/nowhere") -> dict[str, Any]:
    """Return what it prints when it is run by a shell with these variables, in addition, through a command."""
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"} | variables
    # The shell stays, as it does above sudo: what follows keeps it from being replaced by its command.
    given = {
        "now": 0, "release": "/nowhere", "unfinished": "/nowhere", "drained": "/nowhere", "neighbour": "",
        "configuration": f"{root}/etc", "programs": f"{root}/lib", "paths": ["/"],
        "api_server": f"{root}/airflow-api-server.service",
    }  # fmt: skip
    argv = ["sh", "-c", '"$@"; exit $?', "sh", *command, sys.executable, str(LOOK), json.dumps(given)]
    result = subprocess.run(argv, capture_output=True, check=True, env=environment, text=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_ssh_connection_is_found_where_sudo_has_dropped_it() -> None:
    variables = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 2222"}
    expected = ["192.0.2.7", "50000", "192.0.2.1", "2222"]
    assert look(variables)["ssh_connection"] == expected
    assert look(variables, "env", "-u", "SSH_CONNECTION")["ssh_connection"] == expected


def test_clusters_are_those_that_have_a_server(tmp_path: Path) -> None:
    for version, start in (("13", "auto"), ("15", "# kept\nmanual\n"), ("17", "")):
        directory = tmp_path / "etc" / version / "main"
        directory.mkdir(parents=True)
        (directory / "postgresql.conf").write_text("", encoding="utf-8")
        (directory / "start.conf").write_text(start, encoding="utf-8")
    for version in ("15", "17"):
        (tmp_path / "lib" / version / "bin").mkdir(parents=True)
        (tmp_path / "lib" / version / "bin" / "postgres").write_text("", encoding="utf-8")
    assert look({}, root=str(tmp_path))["postgresql"] == {"15": "manual", "17": "auto"}


def test_port_of_the_api_server_is_that_of_its_unit(tmp_path: Path) -> None:
    assert look({}, root=str(tmp_path))["api_server_port"] == 0
    unit = tmp_path / "airflow-api-server.service"
    unit.write_text(
        "[Service]\nExecStart=/opt/bin/airflow api-server --host :: --port 8081 --workers 2\n", encoding="utf-8"
    )
    assert look({}, root=str(tmp_path))["api_server_port"] == 8081


def test_space_is_that_of_the_nearest_parent_and_a_missing_release_is_none() -> None:
    seen = look({})
    assert seen["free_mb"]["/"] > 0
    assert seen["release"] == ""
    assert seen["python"] == ".".join(map(str, sys.version_info[:2]))
