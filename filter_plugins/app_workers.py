"""Filters: how apps of the users' run, as systemd takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_HEALTH = "/usr/local/libexec/airstrip-app-health"
# Seconds after which an app without a question must still be there.
_STILL = 2
# What a start may take beside the time for its answer.
_MORE = 15
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
# Where a program of each runtime is found by its name alone, in the release.
_PROGRAMS = {"python": "venv/bin", "nodejs": "app/node_modules/.bin", "none": "app"}
_PACKAGES = {"python": ["python3-venv"], "nodejs": ["nodejs", "npm"], "none": []}
_LOCKS, _KEEP = {"python": "requirements.txt", "nodejs": "package-lock.json"}, 2
# Node.js compiles as it runs.
_SANDBOXES: Mapping[str, Mapping[str, Any]] = {"nodejs": {"MemoryDenyWriteExecute": None}}


def systemd_words(words: object) -> str:
    """
    Return words as a line of a unit: each is one again for systemd, whatever is in it.

    Example: `['sh', '-c', 'echo $HOME 5%']` gives `"sh" "-c" "echo $$HOME 5%%"`. See systemd.service(5), COMMAND LINES.
    """
    escapes = {"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$", "\n": "\\n", "\t": "\\t"}
    texts = (str(word) for word in as_list(words, "systemd_words: the words"))
    return " ".join(f'"{"".join(escapes.get(sign, sign) for sign in text)}"' for text in texts)


def _program(command: Sequence[str], runtime: str, release: str) -> list[str]:
    """Return a command with the path of its program."""
    first, *arguments = command
    if first == "node" and runtime == "nodejs":
        return ["/usr/bin/node", *arguments]
    if first.startswith("/"):
        return [first, *arguments]
    return [f"{release}/app/{first}" if "/" in first else f"{release}/{_PROGRAMS[runtime]}/{first}", *arguments]


def _question(app: Mapping[str, Any], port: int, release: str) -> tuple[int, list[str]]:
    """Return the seconds that an app has to answer, and how it is asked."""
    health = as_mapping(app.get("health") or {}, "app_worker_instances: health")
    if not health:
        return _STILL, ["none"]
    seconds = int(health.get("seconds", 30))
    if "command" in health:
        return seconds, ["command", *_program(health["command"], app["runtime"], release)]
    return seconds, ["http", str(port), str(health["http"])] if "http" in health else ["tcp", str(port)]


def _environment(app: Mapping[str, Any], instance: Mapping[str, Any], release: str) -> dict[str, str]:
    found = {"HOME": f"/var/lib/app-worker/{app['name']}", "INSTANCE": str(instance["number"])}
    found |= {"PATH": f"{release}/{_PROGRAMS[app['runtime']]}:{_SYSTEM_PATH}", "PYTHONUNBUFFERED": "1"}
    found |= {"PORT": str(instance["port"])} if instance["port"] else {}
    return found | {str(name): str(value) for name, value in (app.get("environment") or {}).items()}


def _options(app: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is the app's own of its sandbox, and its limits."""
    paths = {"ReadWritePaths": " ".join(app["read_write_paths"])} if app.get("read_write_paths") else {}
    given = (_SANDBOXES.get(app["runtime"], {}), paths, app.get("resources") or {}, app.get("unit_options") or {})
    return {str(name): value for options in given for name, value in options.items()}


def app_worker_instances(apps: object, releases: object) -> list[dict[str, Any]]:
    """
    Return the instances of a host's apps as their unit needs them, from the apps and the path of the release of each.

    Each has `app`, `unit`, `number`, `elastic`, `user`, `release`, `start` and `ask` (words of a command), `seconds`
    until the start has failed, `stop_seconds`, `environment`, `credentials` (names of files) and `options` of its own.
    Example: `app_worker_apps | app_worker_instances({'etl': '/opt/app/etl/releases/0123456789abcdef'})`.
    """
    known, found = as_mapping(releases, "app_worker_instances: the releases"), []
    for item in as_list(apps, "app_worker_instances: the apps"):
        app = as_mapping(item, "app_worker_instances: an app")
        release = known[app["name"]]
        for instance in app["instances"]:
            seconds, question = _question(app, instance["port"], release)
            found.append(
                {
                    **instance,
                    "app": app["name"],
                    "user": f"app-{app['name']}",
                    "release": release,
                    "start": _program(app["command"], app["runtime"], release),
                    "ask": [_HEALTH, str(seconds), *question],
                    "seconds": seconds + _MORE,
                    "stop_seconds": int(app.get("stop_timeout", 30)),
                    "environment": _environment(app, instance, release),
                    "credentials": sorted(map(str, app.get("credentials") or {})),
                    "options": _options(app),
                }
            )
    return found


def app_worker_packages(apps: object) -> list[str]:
    """Return the packages of the operating system that the runtimes of a host's apps need, in order."""
    runtimes = {app["runtime"] for app in as_list(apps, "app_worker_packages: the apps")}
    return sorted(name for runtime in runtimes for name in _PACKAGES[runtime])


def app_worker_secrets(apps: object) -> list[str]:
    """Return the names of the secrets of a host's apps, in order."""
    rows = as_list(apps, "app_worker_secrets: the apps")
    return sorted({str(name) for app in rows for name in (app.get("credentials") or {}).values()})


def app_worker_releases(apps: object, directory: str) -> list[dict[str, Any]]:
    """Return what is built for a host's apps, as the role app_release takes it, below a directory."""
    return [
        {"directory": f"{directory}/{app['name']}", "source": app["source"], "runtime": app["runtime"]}
        | {"lock": app.get("lock") or _LOCKS.get(app["runtime"], ""), "keep": app.get("keep", _KEEP)}
        for app in as_list(apps, "app_worker_releases: the apps")
    ]


def app_worker_files(apps: object, directory: str, secrets: object) -> list[dict[str, Any]]:
    """
    Return what apps read as they start, as the module file_set takes it: a directory of each, and its secrets in it.

    `secrets` are all of them by their names. Example: `apps | app_worker_files('/etc/airstrip/app-worker', secrets)`.
    """
    known, found = as_mapping(secrets, "app_worker_files: the secrets"), list[dict[str, Any]]()
    for app in as_list(apps, "app_worker_files: the apps"):
        place = f"{directory}/{app['name']}"
        found.append({"path": place, "state": "directory", "mode": "0700", "exclusive": True})
        for name, secret in sorted((app.get("credentials") or {}).items()):
            found.append({"path": f"{place}/{name}", "content": str(known[secret]), "mode": "0600", "secret": True})
    return found


def app_worker_units(apps: object, instances: object, texts: Sequence[str], directory: str) -> list[dict[str, Any]]:
    """
    Return apps as the module app_units takes them, from their instances and the texts of the units of these.

    Example: `apps | app_worker_units(instances, texts, '/etc/airstrip/app-worker')`.
    """
    rows = list(zip(as_list(instances, "app_worker_units: the instances"), texts, strict=True))
    return [
        {
            "name": app["name"],
            "release": next(row["release"] for row, _ in rows if row["app"] == app["name"]),
            "paths": [f"{directory}/{app['name']}/*"],
            "units": [
                {"name": row["unit"], "content": text, "elastic": row["elastic"]}
                for row, text in rows
                if row["app"] == app["name"]
            ],
        }
        for app in as_list(apps, "app_worker_units: the apps")
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "app_worker_files": app_worker_files,
            "app_worker_instances": app_worker_instances,
            "app_worker_packages": app_worker_packages,
            "app_worker_secrets": app_worker_secrets,
            "app_worker_releases": app_worker_releases,
            "app_worker_units": app_worker_units,
            "systemd_words": systemd_words,
        }
