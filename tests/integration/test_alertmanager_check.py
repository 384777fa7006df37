"""Role alertmanager: who does not answer is warned of before anything changes, and is no reason to stop."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from airstrip_tree import PROJECT

PLAY = """
- name: Check whom alerts go to
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Check
      ansible.builtin.import_role: {name: alertmanager, tasks_from: check}
"""


def check(directory: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run the role's checks for a receiver at a port of this machine."""
    play = directory / "play.yml"
    play.write_text(PLAY, encoding="utf-8")
    given = {
        "ansible_facts": {"distribution_major_version": "13"},
        "alertmanager_web_users": {"ops": "$2b$10$" + 53 * "x"},
        "alertmanager_receivers": [{"name": "relay", "webhook_configs": [{"url": f"http://127.0.0.1:{port}/s3cret"}]}],
        "alertmanager_no_log": False,
    }
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,", "--connection=local"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*argv, f"--extra-vars={json.dumps(given)}", str(play)],
        capture_output=True, check=False, cwd=PROJECT, env=environment, text=True,
    )  # fmt: skip


def test_a_receiver_that_does_not_answer_is_warned_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answered = check(tmp_path, port)
    silent = check(tmp_path, port)
    assert (answered.returncode, silent.returncode) == (0, 0), answered.stdout + silent.stdout
    warning = f"WARNING: relay of 'alertmanager_receivers' does not answer at 127.0.0.1:{port}."
    # The message is shown as YAML, in which quotes are doubled.
    assert warning in " ".join(silent.stdout.split()).replace("''", "'")
    assert "WARNING" not in answered.stdout
    # A URL may be a secret: of it, only where it leads to is told.
    assert "s3cret" not in silent.stdout.split("WARNING")[1]
