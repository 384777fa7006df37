"""
What there is to do for an upgrade of PostgreSQL, from what lies on the host; and why it cannot be done.

A cluster that starts at boot is the one that runs. An upgrade leaves a mark for the version that it leads to: `begun`
before anything else, `complete` once the new cluster has all data. Until then, the old cluster is the site's database;
after that, the new one is. Whatever interrupts a run, the marks say where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_PLAYBOOK = "playbooks/postgresql_upgrade.yml"
# Catalogues, indexes on them and WAL of a new cluster, besides the data.
_RESERVE_MB = 500
# PostgreSQL of the releases of Debian (12, 13) and Ubuntu (22.04, 24.04), which have no number in common.
_DISTRIBUTION = {"12": "15", "13": "17", "22": "14", "24": "16"}
_STEPS = ("upgrade", "revert", "confirm")


def postgresql_major(wanted: object, release: object) -> str:
    """
    Return the major version of PostgreSQL that is wanted; by default that of a release of Debian or Ubuntu.

    Example: `site_postgresql_version | postgresql_major('13')` gives `'17'` for an empty version, and `''` on a release
    that is unknown, which preflight refuses as such. Raises AnsibleFilterError on what is no major version.
    """
    version = str(wanted or _DISTRIBUTION.get(str(release), ""))
    if version and not version.isdecimal():
        raise AnsibleFilterError(f'site_postgresql_version is {version!r}; set it to a major version, such as "17"')
    return version


def _marks(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    given = as_mapping(found.get("marks"), "postgresql_upgrade_plan: marks")
    return {version: as_mapping(mark, "postgresql_upgrade_plan: each of marks") for version, mark in given.items()}


def _plan(do: str, old: str = "", new: str = "", problem: str = "") -> dict[str, Any]:
    return {"do": do, "from": old, "to": new, "problems": [problem] if problem else []}


def _fresh_upgrade(clusters: Mapping[str, str], new: str) -> dict[str, Any]:
    """Plan an upgrade of which there is no mark yet."""
    running = [version for version, start in clusters.items() if start == "auto"]
    if new in running or list(clusters) == [new]:
        return _plan("nothing", new, new)
    if len(running) != 1:
        which = " and ".join(running) or "none"
        return _plan("nothing", new, new, f"of the clusters 'main', {which} starts with the host, and one has to.")
    old = running[0]
    if int(old) > int(new):
        return _plan(
            "nothing", old, old,
            f"site_postgresql_version is {new}, and PostgreSQL {old} runs. Set it to {old} or newer; "
            "to go back to a cluster that was kept, set postgresql_upgrade_step to revert.",
        )  # fmt: skip
    if new in clusters:
        return _plan(
            "nothing", old, new,
            f"there is a cluster {new}/main beside {old}/main already, and no upgrade has made it. If nothing in it "
            f"is needed, remove it: pg_dropcluster {new} main.",
        )  # fmt: skip
    return _plan("upgrade", old, new)


def _upgrade(found: Mapping[str, Any], clusters: Mapping[str, str]) -> dict[str, Any]:
    new, marks = str(found["wanted"]), _marks(found)
    if not clusters:
        return _plan("nothing", new, new, "there is no cluster 'main' to upgrade. site.yml makes one.")
    mark = marks.get(new)
    if mark is None:
        return _fresh_upgrade(clusters, new)
    old = str(mark["from"])
    if mark["complete"]:
        return _plan("finish", old, new)
    if old not in clusters:
        return _plan("nothing", old, new, f"the upgrade had begun with {old}/main, which is gone.")
    return _plan("upgrade", old, new)


def _revert(found: Mapping[str, Any], clusters: Mapping[str, str]) -> dict[str, Any]:
    marks = _marks(found)
    if not marks:
        return _plan("nothing", problem="there is no upgrade to go back from: no older cluster was kept.")
    new = max(marks, key=int)
    old, mark = str(marks[new]["from"]), marks[new]
    if not mark["complete"] and clusters.get(old) == "auto" and clusters.get(new) != "auto":
        return _plan("nothing", old, new)
    problem = ""
    if old not in clusters:
        problem = f"the cluster {old}/main is gone. Restore a backup instead."
    elif mark["complete"] and mark["linked"]:
        problem = (
            f"the upgrade to {new} was made with postgresql_upgrade_mode=link: the files of {old}/main are those of "
            f"{new}/main now. Restore a backup instead."
        )
    elif mark["complete"] and not found["loss_accepted"]:
        problem = (
            f"going back to PostgreSQL {old} loses all that was written since the upgrade to {new}: DAG runs, states "
            "and logs' entries of tasks, new connections and users. If that is to be, set "
            "postgresql_upgrade_loss_accepted to true."
        )
    return _plan("revert", old, new, problem)


def _confirm(found: Mapping[str, Any]) -> dict[str, Any]:
    marks = {version: mark for version, mark in _marks(found).items() if mark["complete"]}
    if not marks:
        return _plan("nothing")
    new = max(marks, key=int)
    return _plan("confirm", str(marks[new]["from"]), new)


def postgresql_upgrade_plan(found: object) -> dict[str, Any]:
    """
    Say what there is to do: `do` (nothing, upgrade, finish, revert or confirm), `from`, `to`, and `problems` with it.

    Example: `{'step': 'upgrade', 'wanted': '17', 'clusters': {'15': 'auto'}, 'marks': {}, 'loss_accepted': False}
    | postgresql_upgrade_plan` gives `{'do': 'upgrade', 'from': '15', 'to': '17', 'problems': []}`. Raises
    AnsibleFilterError on an unknown step and on wrong types.
    """
    given = as_mapping(found, "postgresql_upgrade_plan: what was found")
    clusters = as_mapping(given.get("clusters"), "postgresql_upgrade_plan: clusters")
    if given.get("step") not in _STEPS:
        raise AnsibleFilterError(f"postgresql_upgrade_step is {given.get('step')!r}; set it to {', '.join(_STEPS)}")
    if given["step"] == "upgrade":
        return _upgrade(given, clusters)
    return _revert(given, clusters) if given["step"] == "revert" else _confirm(given)


def _disk(facts: Mapping[str, Any]) -> Iterator[str]:
    needed = int(facts["size_mb"]) + _RESERVE_MB
    if facts["mode"] == "copy" and int(facts["free_mb"]) < needed:
        yield (
            f"/var/lib/postgresql has {facts['free_mb']} MB free, and a copy of {facts['size_mb']} MB of data needs "
            f"{needed}. Free space, enlarge it, or set postgresql_upgrade_mode to link, which needs none, but has no "
            "way back."
        )
    if facts["tablespaces"]:
        yield (
            f"there are tablespaces ({', '.join(map(str, facts['tablespaces']))}), which {_PLAYBOOK} does not handle. "
            "Move their tables to pg_default, or upgrade by hand."
        )


def _extensions(facts: Mapping[str, Any]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for database, names in as_mapping(facts["extensions"], "postgresql_upgrade_problems: extensions").items():
        for name in names:
            users.setdefault(str(name), []).append(database)
    for name in sorted(set(users) - set(map(str, facts["available"]))):
        yield (
            f"the extension {name} of {', '.join(sorted(users[name]))} is not there for PostgreSQL {facts['to']}. "
            f"Install its package for {facts['to']}, or DROP EXTENSION."
        )


def postgresql_upgrade_problems(facts: object) -> list[str]:
    """
    List why the data of a cluster do not fit into the new one; empty if they do.

    Example: `{'to': '17', 'mode': 'copy', 'size_mb': 900, 'free_mb': 800, 'tablespaces': [], 'extensions': {},
    'available': []} | postgresql_upgrade_problems` tells of the disk. Raises AnsibleFilterError on a missing fact.
    """
    given = as_mapping(facts, "postgresql_upgrade_problems: the facts")
    try:
        return [*_disk(given), *_extensions(given)]
    except KeyError as error:
        raise AnsibleFilterError(f"postgresql_upgrade_problems: the facts lack {error}") from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "postgresql_major": postgresql_major,
            "postgresql_upgrade_plan": postgresql_upgrade_plan,
            "postgresql_upgrade_problems": postgresql_upgrade_problems,
        }
