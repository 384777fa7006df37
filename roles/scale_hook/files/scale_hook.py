#!/usr/bin/python3
"""Calls a program of the user's where a set of workers wants more hosts, or fewer, than it has."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import pwd
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Exit statuses of a call that did not end by itself; a program's own are below 128.
TIMED_OUT, NOT_STARTED = 201, 202
# Of the answer of Prometheus: it is a few hundred bytes for each set.
MAX_ANSWER = 1_000_000
MAX_INSTANCES = 10_000
# Samples that are older are as none.
MAX_AGE = 60


def wanted(answer: bytes, sets: Mapping[str, Mapping[str, int]], now: float) -> dict[str, int]:
    """Return how many hosts each known set wants, within its own bounds; none of which there is no fresh sample."""
    found: dict[str, int] = {}
    for row in json.loads(answer)["data"]["result"]:
        name, (moment, text) = row["metric"].get("set", ""), row["value"]
        value, own = float(text), sets.get(name)
        if own is None or not math.isfinite(value) or not 0 <= value <= MAX_INSTANCES or abs(now - moment) > MAX_AGE:
            continue
        hosts = math.ceil(value / own["per_host"])
        found[name] = min(max(hosts, own["min"]), own["max"])
    return found


def ask(settings: Mapping[str, Any], password: str) -> bytes:
    """Return what Prometheus says of the instances that sets want, with the moments of the samples themselves."""
    # `timestamp` has the sample's own moment; that of a plain query is now.
    series = settings["series"]
    query = urllib.parse.urlencode({"query": f"{series} and (time() - timestamp({series}) < {MAX_AGE})"})
    request = urllib.request.Request(f"{settings['url']}/api/v1/query?{query}")  # noqa: S310 - from the settings
    login = base64.b64encode(f"{settings['user']}:{password}".encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if settings["url"].startswith("https:"):
        context = ssl.create_default_context(cafile=settings["ca_file"] or None)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(request, timeout=5) as response:
        found: bytes = response.read(MAX_ANSWER)
    return found


def call(settings: Mapping[str, Any], name: str, count: int, present: int) -> int:
    """Return the exit status of the user's program; it and all that it has started have ended then."""
    values = {"SET": name, "WANTED": str(count), "PRESENT": str(present)}
    user = pwd.getpwnam(settings["program_user"]) if settings["program_user"] else None
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": user.pw_dir if user else "/", "LANG": "C.UTF-8", **values
    }  # fmt: skip
    owner: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    try:
        process = subprocess.Popen(
            [settings["program"], *values.values()],
            cwd="/", env=environment, stdin=subprocess.DEVNULL, start_new_session=True, umask=0o077, **owner,
        )  # fmt: skip
    except OSError as error:
        print(f"{settings['program']} cannot be started: {error.strerror}", file=sys.stderr)
        return NOT_STARTED
    try:
        status = process.wait(timeout=settings["timeout"])
    except subprocess.TimeoutExpired:
        print(f"{settings['program']} did not end within {settings['timeout']} s", file=sys.stderr)
        status = TIMED_OUT
    finally:
        # The program's children are in its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status if status >= 0 else 128 - status


def is_due(record: Mapping[str, Any], count: int, settings: Mapping[str, Any], now: float) -> bool:
    """Return whether a set's program may be called: some time after the last call, which is longer after failures."""
    if not record:
        return True
    failures = min(int(record.get("failures", 0)), 5)
    direction = "down" if count < record.get("wanted", 0) else "up"
    rest = settings["cooldown"][direction] if not failures else settings["cooldown"]["up"] * 2 ** (failures - 1)
    passed = now - float(record.get("moment", 0))
    # A clock that went back is no reason to wait for days.
    return passed >= rest or passed < 0


def metrics(records: Mapping[str, Mapping[str, Any]], asked: bool, now: float) -> str:
    """Return the text for Prometheus."""
    lines = [f"airstrip_scale_hook_asked {int(asked)}", f"airstrip_scale_hook_run_timestamp_seconds {now:.0f}"]
    for name, record in sorted(records.items()):
        labels = f'{{set="{name}"}}'
        lines.append(f"airstrip_scale_hook_exit_status{labels} {int(record['status'])}")
        lines.append(f"airstrip_scale_hook_call_timestamp_seconds{labels} {float(record['moment']):.0f}")
        lines.append(f"airstrip_scale_hook_hosts_wanted{labels} {int(record['wanted'])}")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Put a file in the place of another one, whole."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)  # noqa: PTH101 - of the file's name
    os.replace(file.name, path)  # noqa: PTH105 - likewise


def run(settings: Mapping[str, Any], password: str, clock: Callable[[], float] = time.time) -> bool:
    """Ask, and call the program for each set that wants it. Return whether Prometheus answered."""
    state = Path(settings["state_file"])
    sets: Mapping[str, Mapping[str, int]] = settings["sets"]
    try:
        records = {name: row for name, row in json.loads(state.read_text("utf-8")).items() if name in sets}
    except (OSError, ValueError):
        records = {}
    try:
        found, asked = wanted(ask(settings, password), sets, clock()), True
    except (OSError, ValueError, LookupError, TypeError) as error:
        # Nothing is done on no answer.
        print(f"Prometheus does not say what is wanted: {type(error).__name__}", file=sys.stderr)
        found, asked = {}, False
    for name, count in sorted(found.items()):
        present, record = sets[name]["present"], records.get(name, {})
        if count == present:
            # What failed before is not wanted any more.
            records.pop(name, None)
        elif is_due(record, count, settings, clock()):
            status = call(settings, name, count, present)
            failures = int(record.get("failures", 0)) + 1 if status else 0
            records[name] = {"wanted": count, "status": status, "failures": failures, "moment": clock()}
            # One that is killed here does not call again at once.
            write(state, json.dumps(records))
    write(state, json.dumps(records))
    write(Path(settings["metrics_file"]), metrics(records, asked, clock()))
    return asked


if __name__ == "__main__":
    secret = Path(os.environ["CREDENTIALS_DIRECTORY"], "password").read_text("utf-8").strip()
    sys.exit(0 if run(json.loads(Path(sys.argv[1]).read_text("utf-8")), secret) else 1)
