"""What roles/preflight/files/look.py tells of the host that it runs on."""

import json
import os
import subprocess
import sys
from typing import Any

from airstrip_tree import PROJECT

LOOK = PROJECT / "roles" / "preflight" / "files" / "look.py"


def look(variables: dict[str, str], *command: str) -> dict[str, Any]:
    """Return what it prints when it is run by a shell with these variables, in addition, through a command."""
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"} | variables
    # The shell stays, as it does above sudo: what follows keeps it from being replaced by its command.
    arguments = ["0", "/nowhere", "/nowhere", "", "/nowhere", "/"]
    argv = ["sh", "-c", '"$@"; exit $?', "sh", *command, sys.executable, str(LOOK), *arguments]
    result = subprocess.run(argv, capture_output=True, check=True, env=environment, text=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_ssh_connection_is_found_where_sudo_has_dropped_it() -> None:
    variables = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 2222"}
    expected = ["192.0.2.7", "50000", "192.0.2.1", "2222"]
    assert look(variables)["ssh_connection"] == expected
    assert look(variables, "env", "-u", "SSH_CONNECTION")["ssh_connection"] == expected


def test_space_is_that_of_the_nearest_parent_and_a_missing_release_is_none() -> None:
    seen = look({})
    assert seen["free_mb"]["/"] > 0
    assert seen["release"] == ""
    assert seen["python"] == ".".join(map(str, sys.version_info[:2]))
