"""Action that lets one run at a time change a site."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import select
import shlex
import signal
import socket
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DOCUMENTATION = """
name: run_lock
author: Airstrip
short_description: Let one run at a time change a site
description:
  - Takes a lock on the controller and one on the host of the task, for as long as ansible-playbook lives, and fails if
    another run has one of them. A process of its own holds both; it ends with ansible-playbook, however that ends.
  - The lock on the controller is the kernel's (flock). That on the host is a lease, which is renewed while the run
    lives and ends by itself when the controller is gone.
  - Changes nothing else. In check mode it does nothing.
options:
  controller_file:
    description: File on the controller.
    type: path
    required: true
  host_file:
    description: File on the host, in a directory where only root writes and which a restart empties.
    type: path
    required: true
"""

EXAMPLES = """
- name: Take the lock of the site
  run_lock:
    controller_file: "{{ inventory_dir }}/.run.lock"
    host_file: /run/airstrip.lock
  delegate_to: control-1
  run_once: true
"""

_LEASE = 120
_RENEW = 40
# A run that has just ended needs a moment to give its locks back.
_PATIENCE = 5.0
_REFUSED = 3

# A line with run, end and claim. The end is in seconds since the host's start: no clock that somebody sets moves it.
_TAKE = """
umask 077; exec 9>>{file}; flock 9; read -r run end claim <{file}; now=$(cut -d. -f1 /proc/uptime)
if [ -n "$run" ] && [ "$run" != {run} ] && [ "$end" -gt "$now" ]; then echo "$claim"; exit {refused}; fi
echo {run} $((now + {lease})) {claim} >{file}"""
_GIVE_BACK = """
exec 9>>{file}; flock 9; read -r run end claim <{file}; [ "$run" != {run} ] || : >{file}"""


def _refusal(claim: str, place: str) -> AnsibleActionFail:
    try:
        holder: Any = json.loads(claim)
    except ValueError:
        holder = None
    told = holder if isinstance(holder, Mapping) else {}
    return AnsibleActionFail(
        f"Another run changes this site: {told.get('playbook', 'unknown')}, of {told.get('user', 'unknown')}, process "
        f"{told.get('process', 'unknown')}, since {told.get('since', 'unknown')} ({place}). Wait for its end, or end "
        f"it there. If it has died, the lock ends by itself within {_LEASE} s."
    )


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"controller_file", "host_file"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take both locks and leave a process that holds them. Raises AnsibleActionFail if another run has one."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        _, options = self.validate_argument_spec(
            {name: {"type": "path", "required": True} for name in sorted(self._VALID_ARGS)}
        )
        if self._task.check_mode:
            return result | {"skipped": True}
        # This is a process of the task; its parent is ansible-playbook.
        playbook = os.getppid()
        claim = {
            "playbook": " ".join(Path(name).name for name in context.CLIARGS.get("args", ())),
            "user": f"{getpass.getuser()}@{socket.gethostname()}",
            "process": playbook,
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }
        deadline = time.monotonic() + _PATIENCE
        lock = self._lock_controller(Path(options["controller_file"]), claim, deadline)
        if lock is None:
            return result
        values = {"file": shlex.quote(options["host_file"]), "run": uuid.uuid4().hex}
        take = _TAKE.format(**values, lease=_LEASE, refused=_REFUSED, claim=shlex.quote(json.dumps(claim)))
        self._lock_host(take, deadline)
        if os.fork() == 0:
            self._hold(lock, playbook, take, _GIVE_BACK.format(**values))
        os.close(lock)
        return result

    def _lock_controller(self, path: Path, claim: Mapping[str, Any], deadline: float) -> int | None:
        """Return the open file that has the lock; nothing if this run has it already."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = path.read_text(encoding="utf-8")
                if f'"process": {claim["process"]},' in holder:
                    return None
                if time.monotonic() > deadline:
                    raise _refusal(holder, str(path)) from None
                time.sleep(0.2)
            else:
                os.ftruncate(lock, 0)
                os.write(lock, json.dumps(claim).encode())
                return lock

    def _lock_host(self, take: str, deadline: float) -> None:
        answer = self._low_level_execute_command(take)
        while answer["rc"] == _REFUSED and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = self._low_level_execute_command(take)
        if answer["rc"] == _REFUSED:
            raise _refusal(answer["stdout"], self._task.delegate_to or self._play_context.remote_addr)
        if answer["rc"] != 0:
            raise AnsibleActionFail(f"The lock of the site cannot be taken: {answer['stderr'] or answer['stdout']}")

    def _hold(self, lock: int, playbook: int, take: str, give_back: str) -> NoReturn:
        """Renew the lease until ansible-playbook has ended, in a process of its own; then give both locks back."""
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ended = os.pidfd_open(playbook)
            self._leave_the_run(lock, ended)
            held = True
            while not select.select([ended], [], [], _RENEW)[0]:
                # Another run has it only if this one could not renew for a whole lease. A host may be restarting.
                held = held and self._try(take) != _REFUSED
            self._try(give_back)
        finally:
            os._exit(0)

    @staticmethod
    def _leave_the_run(*kept: int) -> None:
        """Close what the run has open: who reads its output, or waits for its processes, waits for no holder."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        first = 3
        for number in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
            os.closerange(first, number)
            first = number + 1
        # What it would say went through the run.
        Display().verbosity = 0

    def _try(self, command: str) -> int:
        try:
            return int(self._low_level_execute_command(command)["rc"])
        except Exception:  # the host may be away; the next renewal tries again
            return -1
