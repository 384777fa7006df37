"""What is told of a host's system, by this one."""

import grp
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.host_system import system
from ansible_collections.airstrip.core.plugins.module_utils.listening_ports import listeners

NOTHING: dict[str, Any] = {"ports": [], "programs": [], "present": {}, "user": {}, "group": {}}


def free_id(taken: set[int]) -> int:
    return next(number for number in range(60000, 65000) if number not in taken)


def test_who_listens_is_named() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6)]
    ports = [held.getsockname()[1] for held in sockets]
    try:
        found = listeners(ports)
    finally:
        for held in sockets:
            held.close()
    own = Path("/proc/self/comm").read_text().strip()
    assert [(row["port"], row["process"]) for row in found] == [(port, own) for port in sorted(ports)]
    assert listeners(ports) == []


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert listeners([client.getsockname()[1]]) == []


def test_a_program_that_ends_is_not_in_the_way() -> None:
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        assert [row["port"] for row in listeners([port])] == [port]
        process.kill()
        process.wait()
        assert listeners([port]) == []


def test_accounts_are_told_by_name_and_by_id() -> None:
    own = pwd.getpwuid(os.getuid())
    found = system(NOTHING | {"user": {"name": own.pw_name, "id": own.pw_uid}})["user"]
    assert (found["uid"], found["owner"]) == (own.pw_uid, own.pw_name)
    assert Path("/proc/self/comm").read_text().strip() in found["processes"]
    free = free_id({entry.pw_uid for entry in pwd.getpwall()})
    assert system(NOTHING | {"user": {"name": "airstrip-nobody", "id": free}})["user"] == {
        "uid": None, "processes": [], "owner": "",
    }  # fmt: skip
    group = grp.getgrgid(os.getgid())
    asked = {"name": "airstrip-nobody", "id": group.gr_gid}
    assert system(NOTHING | {"group": asked})["group"] == {"gid": None, "owner": group.gr_name}


# One from which none runs, tests/e2e/test_bad_input.py mounts on a real host.
def test_programs_run_in_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    assert system(NOTHING | {"programs": [f"{tmp_path}/not/there"]})["no_exec"] == []


def test_directories_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    asked = {"there": f"{tmp_path}", "file": f"{tmp_path}/file", "none": f"{tmp_path}/none"}
    found = system(NOTHING | {"present": asked})["missing"]
    assert found == {name: asked[name] for name in ("file", "none")}
