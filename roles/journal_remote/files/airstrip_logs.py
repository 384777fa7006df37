#!/usr/bin/env python3
"""Search the journals of a site's hosts, on the host that collects them, or remove what is too old or too much.

Usage: airstrip-logs SETTINGS [--text=.. --since=.. --until=.. --component=.. --host=.. --dag=.. --task=.. --run=..
                               --queue=.. --state=.. --level=.. --limit=..]
       airstrip-logs SETTINGS --clean

SETTINGS is a file of JSON with `host` (this host, whose journal is read where it is), `directory` (one directory of
journals for each other host, called after it), `sets` (queues by the name of a worker set), `days` and `mb`.

The host that is shown is that of the directory: it is the name in the certificate with which the lines came, whatever
stands in them. What a line says is written by others, so what would steer a terminal is not shown.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LEVELS = ("debug", "info", "warning", "error", "critical")
# syslog(3): 0 to 2 are critical, 5 and 6 are info.
_BY_PRIORITY = (*("critical",) * 3, "error", "warning", "info", "info", "debug")
_FIELDS = "MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER"
_STATES = ("state", "final_state", "task_state")
# Beside the text, in the order in which they are shown.
_SHOWN = ("dag_id", "task_id", "run_id", "try_number", "map_index", *_STATES)
_STEERING = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@*:-]*")
_LIMIT = 100_000


class RefusedError(Exception):
    """What was asked has no meaning; the message says why."""


def components(name: str) -> list[str]:
    """Return patterns of units for a component, or for the name of a unit."""
    if not _NAME.fullmatch(name):
        raise RefusedError(f"component is {name!r}. Give the name of one, as scheduler, or of a unit.")
    base = name.replace("_", "-")
    return [name] if "." in name else [f"airflow-{base}.service", f"airflow-{base}@*.service", f"{base}*.service"]


def units(asked: Mapping[str, Any], sets: Mapping[str, Sequence[str]]) -> list[str]:
    """Return patterns of the units whose lines are read; none for all. A queue stands for the workers that serve it."""
    found = components(asked["component"]) if asked["component"] else []
    if queue := asked["queue"]:
        serving = [name for name, queues in sets.items() if queue in queues]
        if not serving:
            known = ", ".join(sorted({name for queues in sets.values() for name in queues})) or "none"
            raise RefusedError(f"queue is {queue!r}, which no worker serves. There are: {known}.")
        if asked["component"] not in ("", "worker"):
            raise RefusedError("queue and component exclude each other: only lines of workers have a queue.")
        # Those of a set that follows the load have a number each.
        found = [f"airflow-worker@{name}{number}.service" for name in serving for number in ("", "-[0-9]*")]
    return found


def hosts(settings: Mapping[str, Any], wanted: str) -> dict[str, list[str]]:
    """Return how journalctl finds the journal of each host."""
    directory = Path(str(settings["directory"]))
    found: dict[str, list[str]] = {}
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_dir() and not path.is_symlink():
                found[path.name] = [f"--directory={path}"]
    found[str(settings["host"])] = []
    if wanted and wanted not in found:
        raise RefusedError(f"host is {wanted!r}, of which there are no lines. There are: {', '.join(sorted(found))}.")
    return {name: where for name, where in found.items() if wanted in ("", name)}


def text_of(value: Any) -> str:
    """Return a field of a journal as text: journalctl gives bytes that are none as numbers, and several as a list."""
    if isinstance(value, list):
        numbers = all(isinstance(item, int) for item in value)
        return bytes(value).decode(errors="replace") if numbers else text_of(value[-1] if value else "")
    return value if isinstance(value, str) else ""


def said(message: str) -> dict[str, Any]:
    """Return what a line of Airflow's says: its fields, or nothing for plain text."""
    if message.startswith("{"):
        with suppress(ValueError, RecursionError):
            found = json.loads(message)
            if isinstance(found, dict) and "event" in found:
                return found
    return {}


def level_of(entry: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """Return the level: Airflow's own. On its standard output, all lines have one priority."""
    level = str(fields.get("level", "")).lower()
    if level in LEVELS:
        return level
    priority = text_of(entry.get("PRIORITY"))
    return _BY_PRIORITY[int(priority)] if priority in tuple("01234567") else "info"


def _has(fields: Mapping[str, Any], message: str, keys: Sequence[str], wanted: str) -> bool:
    """Tell whether a field has a value; where a line has no such field, whether it names the value as a word."""
    present = [str(fields[key]) for key in keys if key in fields]
    if present:
        return wanted in present
    text = str(fields.get("event", message))
    return re.search(rf"(?<![\w.-]){re.escape(wanted)}(?![\w-])", text) is not None


def fits(entry: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Tell whether an entry is what was asked for, beside host, unit and time, which journalctl looks at."""
    message = text_of(entry.get("MESSAGE"))
    fields = said(message)
    wanted = {("dag_id",): asked["dag"], ("task_id",): asked["task"], ("run_id",): asked["run"]}
    if asked["level"] and LEVELS.index(level_of(entry, fields)) < LEVELS.index(asked["level"]):
        return False
    if asked["text"] and asked["text"].lower() not in message.lower():
        return False
    if asked["state"] and not _has_state(fields, message, asked["state"]):
        return False
    return all(_has(fields, message, keys, value) for keys, value in wanted.items() if value)


def _has_state(fields: Mapping[str, Any], message: str, wanted: str) -> bool:
    present = [str(fields[key]).lower() for key in _STATES if key in fields]
    words = re.findall(r"state[=: ]+'?(\w+)", str(fields.get("event", message)).lower())
    return wanted.lower() in present + words


def unit_of(entry: Mapping[str, Any]) -> str:
    """Return whose line it is. systemd's own are about a unit; of others, only who wrote it is known."""
    own = text_of(entry.get("_SYSTEMD_UNIT"))
    about = text_of(entry.get("UNIT")) if own in ("", "init.scope") else ""
    return (about or own or text_of(entry.get("SYSLOG_IDENTIFIER")) or "-").removesuffix(".service")


def shown(host: str, entry: Mapping[str, Any]) -> str:
    """Return an entry as a line: when, where, which unit, level, what, and about which task."""
    message = text_of(entry.get("MESSAGE"))
    fields = said(message)
    seconds = int(text_of(entry.get("__REALTIME_TIMESTAMP")) or 0) / 1e6
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    unit = unit_of(entry)
    about = "".join(f" {key}={fields[key]}" for key in _SHOWN if fields.get(key) not in (None, "", -1))
    what = str(fields.get("event", message)) + about
    if error := fields.get("exception"):
        with suppress(TypeError, KeyError, IndexError, AttributeError):
            what += f" {error[-1].get('exc_type', '')}: {error[-1].get('exc_value', '')}"
    level = level_of(entry, fields).upper()
    return _STEERING.sub(" ", f"{moment} {host} {unit} {level} {what}")


def read(where: Sequence[str], given: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the entries of a journal, oldest first, each once: a sender that was cut off sends some again."""
    command = ["journalctl", "--quiet", "--no-pager", "--output=json", "--all", f"--output-fields={_FIELDS}"]
    seen: deque[Any] = deque(maxlen=50_000)
    known: set[Any] = set()
    # Errors go to a file: nobody reads a pipe meanwhile.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen([*command, *where, *given], stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        for line in process.stdout or ():
            with suppress(ValueError):
                entry = json.loads(line)
                once = (entry.get("_BOOT_ID"), entry.get("__MONOTONIC_TIMESTAMP"), str(entry.get("MESSAGE")))
                if once in known:
                    continue
                if len(seen) == seen.maxlen:
                    known.discard(seen[0])
                seen.append(once)
                known.add(once)
                yield entry
        process.wait()
        errors.seek(0)
        error = errors.read(10_000).decode(errors="replace").strip()
    # Units of which this journal has no line are no error.
    if process.returncode and "Failed to add filter for units" not in error and "No journal files" not in error:
        raise RefusedError(f"journalctl: {error or process.returncode}")


def moment_of(entry: Mapping[str, Any]) -> int:
    """Return when the host wrote an entry."""
    return int(text_of(entry.get("__REALTIME_TIMESTAMP")) or 0)


def search(settings: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return the last lines that fit, of all hosts, in the order of their moments."""
    given = [f"--{key}={asked[key]}" for key in ("since", "until") if asked[key]]
    given += [f"--unit={unit}" for unit in units(asked, settings["sets"])]

    def of(host: str, where: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for entry in read(where, given):
            if fits(entry, asked):
                yield moment_of(entry), host, entry

    ways = [of(host, where) for host, where in hosts(settings, asked["host"]).items()]
    merged = heapq.merge(*ways, key=lambda row: row[:2])
    return [shown(host, entry) for _, host, entry in deque(merged, maxlen=asked["limit"])]


def clean(settings: Mapping[str, Any], now: float) -> list[str]:
    """Remove files of journals that are too old, then the oldest until the rest fits; never a host's last one."""
    files = []
    for directory in hosts(settings, "").values():
        for where in directory:
            found = [path for path in Path(where.partition("=")[2]).glob("*.journal*") if not path.is_symlink()]
            found.sort(key=lambda path: path.stat().st_mtime)
            files += [(path.stat().st_mtime, path.stat().st_blocks * 512, path) for path in found[:-1]]
            files += [(float("inf"), path.stat().st_blocks * 512, path) for path in found[-1:]]
    files.sort(key=lambda row: (row[0], str(row[2])))
    total, removed = sum(size for _, size, _ in files), []
    bound = int(settings["mb"]) * 1_000_000
    for changed, size, path in files:
        old = bool(settings["days"]) and changed < now - int(settings["days"]) * 86400
        if changed != float("inf") and (old or (bound and total > bound)):
            path.unlink(missing_ok=True)
            removed.append(str(path))
            total -= size
    return removed


def _arguments(given: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Search the journals of a site's hosts.")
    parser.add_argument("settings")
    parser.add_argument("--clean", action="store_true", help="remove what is too old or too much")
    for name in ("text", "since", "until", "component", "host", "dag", "task", "run", "queue", "state", "level"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--limit", default="200")
    asked = vars(parser.parse_args(given))
    asked["level"] = str(asked["level"]).lower()
    if asked["level"] and asked["level"] not in LEVELS:
        raise RefusedError(f"level is {asked['level']!r}. Use one of {', '.join(LEVELS)}.")
    if not re.fullmatch(r"\d{1,6}", asked["limit"]) or not 1 <= int(asked["limit"]) <= _LIMIT:
        raise RefusedError(f"limit is {asked['limit']!r}. Use a number from 1 to {_LIMIT}.")
    asked["limit"] = int(asked["limit"])
    return asked


def main(given: Sequence[str]) -> int:
    """Do what is asked for; 2 if that has no meaning."""
    try:
        asked = _arguments(given)
        settings = json.loads(Path(asked["settings"]).read_text(encoding="utf-8"))
        lines = clean(settings, time.time()) if asked["clean"] else search(settings, asked)
    except RefusedError as error:
        print(f"airstrip-logs: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print(f"removed {line}" if asked["clean"] else line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
