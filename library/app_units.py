#!/usr/bin/python
"""Module: units of programs of the users', restarted one after the other, and put back if a new version fails."""

from __future__ import annotations

import glob
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: app_units
short_description: Units of programs of the users', restarted one after the other
description:
  - Keeps the units of apps. Those whose text or files have changed are restarted one after the other, each only when
    the one before has started, which systemd says once its ExecStartPost has ended well.
  - If one does not start, all units of its app get the text back with which they last started, and run with that; the
    module fails, and says why. What never has started is removed.
  - Units of apps that are not named, and instances that an app has no more, are stopped and removed.
  - Of an app whose units all run as they should, O(directory)/NAME leads to its release by the link C(current).
author: Airstrip
options:
  apps:
    description: All apps of this host.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the app., type: str, required: true}
      release: {description: Its release., type: path, required: true}
      paths: {description: "Files that it reads as it starts, or patterns.", type: list, elements: path, default: []}
      units:
        description: Its instances, in the order in which they start.
        type: list
        elements: dict
        required: true
        suboptions:
          name: {description: Name of the unit., type: str, required: true}
          content: {description: Its text., type: str, required: true}
          elastic: {description: Whether somebody else starts and stops it., type: bool, default: false}
  directory: {description: "Directory of the apps, where each has one.", type: path, required: true}
  proven: {description: Directory of the texts with which units have started., type: path, required: true}
  unit_directory: {description: Directory of the units., type: path, default: /etc/systemd/system}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""

EXAMPLES = r"""
- name: Run the apps
  app_units:
    directory: /opt/app
    proven: /var/lib/airstrip/app-worker
    apps:
      - name: etl
        release: /opt/app/etl/releases/0123456789abcdef
        units: [{name: app-worker-etl@1.service, content: "{{ lookup('airstrip_template', 'app-worker.service.j2') }}"}]
"""

RETURN = r"""
restarted: {description: "Units that were started or restarted, in order.", type: list, returned: success}
removed: {description: Units that were removed., type: list, returned: success}
gone: {description: Apps that have nothing any more but their directories., type: list, returned: success}
"""

_PATTERN = "app-worker-*@*.service"
_LINES = 15


class StartError(Exception):
    """A unit that has not started; the message says which."""


@dataclass(frozen=True)
class State:
    """A unit as systemd has it: whether it runs, and since when, in seconds since the epoch."""

    active: str
    since: float


def _systemctl(*arguments: str, check: bool = True) -> str:
    result = subprocess.run(
        ["systemctl", *arguments], check=check, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return result.stdout


def state_of(unit: str) -> State:
    """Return how a unit is."""
    text = _systemctl("show", "--property=ActiveState,ActiveEnterTimestampMonotonic", "--", unit)
    seen = dict(line.partition("=")[::2] for line in text.splitlines())
    entered = int(seen.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    return State(seen.get("ActiveState", "inactive"), time.time() - (time.monotonic() - entered))


def _journal(unit: str, since: float) -> str:
    argv = ["journalctl", f"--unit={unit}", f"--since=@{since:.0f}", f"--lines={_LINES}", "--output=cat", "--no-pager"]
    result = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return result.stdout.strip()


def text_of(path: Path) -> str:
    """Return a file's text; nothing if there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".app_units.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    Path(name).replace(path)


def _changed_at(patterns: list[str]) -> float:
    """Return when the last of some files changed."""
    paths = [path for pattern in patterns for path in glob.glob(pattern)]  # noqa: PTH207 - they are absolute
    return max((Path(path).stat().st_ctime for path in paths), default=0.0)


class App:
    """An app of this host, as it shall be."""

    def __init__(self, given: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.name, self.release, self.units = given["name"], given["release"], given["units"]
        self._paths = given["paths"]
        self._directory, self._proven = Path(options["unit_directory"]), Path(options["proven"]) / self.name
        self.link = Path(options["directory"], self.name, "current")

    def file(self, unit: Mapping[str, Any]) -> Path:
        """Return the file of a unit."""
        return self._directory / str(unit["name"])

    def due(self) -> list[dict[str, Any]]:
        """Return the units that have another text, do not run, or run with older files."""
        changed = _changed_at(self._paths)
        return [unit for unit in self.units if self._is_due(unit, changed)]

    def _is_due(self, unit: Mapping[str, Any], changed: float) -> bool:
        if text_of(self.file(unit)) != unit["content"] or text_of(self._proven / unit["name"]) != unit["content"]:
            return True
        state = state_of(unit["name"])
        if state.active in ("active", "reloading"):
            return state.since < max(changed, self.file(unit).stat().st_ctime)
        return not unit["elastic"]

    def linked(self) -> bool:
        """Tell whether the link leads to the release."""
        return self.link.is_symlink() and str(self.link.readlink()) == self.release

    def start(self, due: list[dict[str, Any]]) -> Iterator[str]:
        """Write and restart units, one after the other; yield those that run. Raises StartError at the first."""
        for unit in due:
            began, was = time.time(), state_of(unit["name"]).active
            _write(self.file(unit), unit["content"])
            _systemctl("daemon-reload")
            if not unit["elastic"] or was in ("active", "activating", "reloading"):
                self._restart(unit, began)
                yield unit["name"]
            self._proven.mkdir(mode=0o755, parents=True, exist_ok=True)
            _write(self._proven / unit["name"], unit["content"])

    def _restart(self, unit: Mapping[str, Any], began: float) -> None:
        try:
            _systemctl(*(["enable", "--quiet"] if not unit["elastic"] else ["show", "--property=Id"]), unit["name"])
            # One that has failed often is to be started at once.
            _systemctl("reset-failed", "--", unit["name"], check=False)
            _systemctl("restart", "--", unit["name"])
        except subprocess.CalledProcessError as error:
            said = f"{error.stderr.strip()}\n{_journal(unit['name'], began)}"
            raise StartError(f"{unit['name']} has not started: {said}") from None

    def put_back(self, due: list[dict[str, Any]], proven: Mapping[str, str]) -> str:
        """Give units the text back with which they last started; say what runs now."""
        back = []
        for unit in due:
            text = proven[unit["name"]]
            if not text:
                _remove(self.file(unit))
                continue
            is_new = text_of(self.file(unit)) != text
            _write(self.file(unit), text)
            _write(self._proven / unit["name"], text)
            _systemctl("daemon-reload")
            if is_new and (not unit["elastic"] or state_of(unit["name"]).active != "inactive"):
                _systemctl("restart", "--", unit["name"], check=False)
            back.append(unit["name"])
        _systemctl("daemon-reload")
        running = [name for name in back if state_of(name).active == "active"]
        return f"The version before runs again ({', '.join(running)})." if running else "Nothing of it runs."

    def texts(self) -> dict[str, str]:
        """Return the texts with which units have last started; nothing for one that never has."""
        return {unit["name"]: text_of(self._proven / unit["name"]) for unit in self.units}


def _remove(file: Path) -> None:
    """Stop and remove a unit."""
    _systemctl("disable", "--quiet", "--now", "--", file.name, check=False)
    _systemctl("reset-failed", "--", file.name, check=False)
    file.unlink(missing_ok=True)


def _run(app: App) -> list[str]:
    """Bring an app up to date; raise StartError, with what it has done about that."""
    due, proven = app.due(), app.texts()
    started: list[str] = []
    try:
        started += app.start(due)
    except StartError as error:
        raise StartError(f"The app {app.name}: {error}\n{app.put_back(due, proven)}") from None
    if not app.linked():
        temporary = app.link.with_name(".current")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(app.release)
        temporary.replace(app.link)
    return started


def _leaving(apps: list[App], options: Mapping[str, Any]) -> list[Path]:
    kept = {app.file(unit).name for app in apps for unit in app.units}
    found = sorted(Path(options["unit_directory"]).glob(_PATTERN))
    return [path for path in found if path.name not in kept]


def _gone(apps: list[App], directory: Path) -> list[str]:
    """Return the names of apps that have a directory, and are none any more."""
    names = {path.name for path in directory.iterdir() if path.is_dir()} if directory.is_dir() else set()
    return sorted(names - {app.name for app in apps})


def main() -> None:
    """Run the module."""
    unit = {"name": {"type": "str", "required": True}, "content": {"type": "str", "required": True}}
    unit["elastic"] = {"type": "bool", "default": False}
    app = {"name": {"type": "str", "required": True}, "release": {"type": "path", "required": True}}
    app["paths"] = {"type": "list", "elements": "path", "default": []}
    app["units"] = {"type": "list", "elements": "dict", "required": True, "options": unit}
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "dict", "required": True, "options": app},
            "directory": {"type": "path", "required": True},
            "proven": {"type": "path", "required": True},
            "unit_directory": {"type": "path", "default": "/etc/systemd/system"},
        },
        supports_check_mode=True,
    )
    apps = [App(given, module.params) for given in module.params["apps"]]
    due = {app.name: app.due() for app in apps}
    leaving, gone = _leaving(apps, module.params), _gone(apps, Path(module.params["directory"]))
    changed = bool(leaving or any(due.values()) or not all(app.linked() for app in apps))
    diff = [
        {"before_header": str(app.file(unit)), "after_header": str(app.file(unit))}
        | {"before": text_of(app.file(unit)), "after": unit["content"]}
        for app in apps
        for unit in due[app.name]
    ]
    names = [path.name for path in leaving]
    if module.check_mode:
        restarted = [unit["name"] for units in due.values() for unit in units]
        module.exit_json(changed=changed, restarted=restarted, removed=names, gone=gone, diff=diff)
    for path in leaving:
        _remove(path)
    started: list[str] = []
    try:
        for one in apps:
            started += _run(one)
    except StartError as error:
        module.fail_json(msg=str(error), changed=True)
    if leaving:
        _systemctl("daemon-reload")
    module.exit_json(changed=changed, restarted=started, removed=names, gone=gone, diff=diff)


if __name__ == "__main__":
    main()
