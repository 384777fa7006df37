#!/usr/bin/python
"""Module: what a host says of itself, for a site that is to be changed."""

from __future__ import annotations

import fnmatch
import glob
import ipaddress
import json
import os
import re
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils import apt_sources, host_stores
from ansible_collections.airstrip.core.plugins.module_utils.directory_access import open_directory, who_may_write
from ansible_collections.airstrip.core.plugins.module_utils.held_secret import digest, held_secret
from ansible_collections.airstrip.core.plugins.module_utils.host_system import nearest, system

DOCUMENTATION = r"""
module: site_host_facts
short_description: What a host says of itself
description:
  - Tells what no fact of Ansible does, because it is a matter of this moment or of Airstrip. It changes nothing.
  - What it is not asked for is empty in its result.
  - Runs as root. Of a file that others than root can have written, it believes nothing that root acts on.
author: Airstrip
options:
  now: {description: "Seconds since the epoch, by the controller's clock.", type: float, required: true}
  untested: {description: "A system that no test has run on, of which a warning says so.", type: str}
  python: {description: Path of the Python that Airflow will run on., type: path}
  release: {description: Link to the release of Airflow., type: path}
  unfinished_upgrade: {description: Link to the backup of an upgrade that was interrupted., type: path}
  drained: {description: File of a host that is out of service., type: path}
  neighbour: {description: An IPv4 address in a network of the host., type: str}
  paths: {description: Where to look for free space., type: list, elements: path, default: []}
  root_paths:
    description: "Paths that root is to make or to write, by the variable that says so."
    type: dict
    default: {}
  taken_over: {description: Directories that root takes over before., type: list, elements: path, default: []}
  api_server: {description: Unit of the API server., type: path}
  postgresql:
    description: Where clusters of PostgreSQL are configured, and where its programs are.
    type: dict
    suboptions:
      configuration: {description: Directory of the clusters., type: path, required: true}
      programs: {description: Directory of the versions., type: path, required: true}
      data: {description: Directory where upgrades leave their marks., type: path}
  secrets:
    description:
      - By name, a dictionary with the C(path) of a file with the secret, with the C(user) in it, if it is a password
        in a URL, and with C(cuts_off), if a digest of it is wanted.
    type: dict
    default: {}
  fernet_key: {description: File of the Fernet key., type: path}
  credentials: {description: Directory with the credentials of the units that run., type: path}
  database:
    description: The metadata database on this host.
    type: dict
    suboptions:
      name: {description: Its name., type: str, required: true}
      port: {description: Port of the server., type: int, required: true}
  webserver_config: {description: "File that Airflow reads no more.", type: path}
  hosts_template: {description: File from which cloud-init makes /etc/hosts., type: path}
  units: {description: Directory of the units of systemd., type: path}
  placed:
    description: The components that are placed on this host, each with C(units) and C(owns), patterns of paths.
    type: dict
    default: {}
  known: {description: All components, in the order in which they stop., type: dict, default: {}}
  record: {description: File with what the last run has placed., type: path}
  system:
    description: What of the system may stand in the way.
    type: dict
    suboptions:
      ports: {description: TCP ports., type: list, elements: int, default: []}
      programs: {description: Directories from which programs will run., type: list, elements: path, default: []}
      present: {description: Directories by the variable that says so., type: dict, default: {}}
      user: {description: "C(name) and C(id) of a user.", type: dict, default: {}}
      group: {description: "C(name) and C(id) of a group.", type: dict, default: {}}
  sources:
    description: Whether apt can read its sources of packages.
    type: dict
    suboptions:
      proxy: {description: "Variables of the environment that name a proxy.", type: dict, default: {}}
      timeout: {description: Seconds to wait for an answer., type: int, required: true}
  stores:
    description: The database and the broker that are to run here.
    type: dict
    default: {}
    suboptions:
      postgresql:
        description: A cluster of PostgreSQL.
        type: dict
        suboptions:
          version: {description: Its version., type: str, required: true}
          configuration: {description: Directory of its configuration., type: path, required: true}
      redis:
        description: A Redis or a Valkey.
        type: dict
        suboptions:
          package: {description: Its package., type: str, required: true}
          configuration: {description: File of its configuration., type: path, required: true}
attributes:
  check_mode: {support: full, description: It changes nothing.}
"""

EXAMPLES = r"""
- name: Ask the host for its clock and its release
  site_host_facts:
    now: "{{ now(utc=true).timestamp() }}"
    release: /opt/airflow/current
  register: preflight_facts
"""

RETURN = r"""
clock_offset: {description: Seconds that the clock is ahead., type: float, returned: success}
python: {description: "Version (major.minor) of that Python, or V(not there).", type: str, returned: success}
release:
  description: "Where the link leads, whether or not there is something; empty for none."
  type: str
  returned: success
installed_version:
  description: Version of Airflow in the name of the release; empty for none.
  type: str
  returned: success
unfinished_upgrade: {description: Where that link leads; empty for none., type: str, returned: success}
drained: {description: Content of that file; empty for none., type: str, returned: success}
free_mb: {description: "MB free by path, there or on its nearest parent that exists.", type: dict, returned: success}
open_ways:
  description: >-
    Paths of O(root_paths) on whose way others than root may put a link. Each has C(variable), C(path), the C(directory)
    and C(who) may write it.
  type: list
  elements: dict
  returned: success
ssh_connection:
  description: Addresses and ports of the SSH connection, the client's first; empty for none.
  type: list
  elements: str
  returned: success
resolvers:
  description: Addresses of the name servers that are asked, but for those of the host itself.
  type: list
  elements: str
  returned: success
neighbour:
  description: The hardware address that answers for that address; empty for none.
  type: str
  returned: success
api_server_port: {description: Port in the unit of the API server; 0 for none., type: int, returned: success}
postgresql:
  description: By version with a server, whether its cluster main starts with the host (V(auto)).
  type: dict
  returned: success
postgresql_upgrades:
  description: >-
    By the version to which an upgrade of PostgreSQL leads, how far it has come: the version C(from) which it does, and
    whether it is C(complete) and has C(linked) the files.
  type: dict
  returned: success
secrets: {description: Names of the secrets that the host has., type: list, elements: str, returned: success}
running_secrets:
  description: Of the secrets with C(cuts_off), by name, digests of those that units of Airflow have got.
  type: dict
  returned: success
fernet_key: {description: "A C(salt), and C(digests) of the Fernet keys with it.", type: dict, returned: success}
schema: {description: Whether that database has the schema of Airflow., type: bool, returned: success}
webserver_config: {description: Whether that file exists., type: bool, returned: success}
hosts_template: {description: "That file; empty if there is none.", type: str, returned: success}
units: {description: Whether there are units of Airflow that Airstrip has written., type: bool, returned: success}
record:
  description: C(components), C(fixed) values and digests of C(secrets), as the last run wrote them.
  type: dict
  returned: success
leaving:
  description: Components that are placed here no more, as they stop, each with C(component), its C(units) and C(paths).
  type: list
  elements: dict
  returned: success
system:
  description: >-
    C(listeners) at those ports, each with C(port), C(process) and C(unit), empty if unknown; C(no_exec), the
    directories from which no program runs; C(missing), those of the directories that are none; of the C(user), C(uid)
    (none without a user of that name), its C(processes), and the C(owner) of the wanted id; of the C(group), C(gid) and
    C(owner).
  type: dict
  returned: success
sources:
  description: >-
    C(discs), the files that name a disc as a source of packages; C(silent), what apt says of the sources that it cannot
    read, asked only where O(placed) has a component that O(record) has not, and so packages may be missing.
  type: dict
  returned: success
stores:
  description: By C(postgresql) and C(redis), what a server holds that Airstrip has not set up; empty for none.
  type: dict
  returned: success
"""

# A version and a digest: what is named otherwise is no release, and a run puts the link right.
_RELEASE = re.compile("[0-9][^-]*")
# More is none of the files that are read here.
_MOST_BYTES = 2**22
# Where systemd-resolved answers, the first names it alone, and the second those that it asks.
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


def free_mb(path: str) -> int:
    """Return the MB free on the file system of `path`, or of its nearest parent that exists."""
    status = os.statvfs(nearest(path))
    return status.f_bavail * status.f_frsize // 2**20


def python_version(path: str) -> str:
    """Return the version (major.minor) of a Python; `not there` if there is none."""
    command = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        result = subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not there"
    return result.stdout.strip() or "not there"


def open_ways(paths: dict[str, str], taken_over: list[str]) -> list[dict[str, str]]:
    """Return those of the paths, by variable, on whose way others than root may put a link; with place and name."""
    found = [(variable, path, open_directory(path, taken_over)) for variable, path in paths.items()]
    return [
        {"variable": variable, "path": path, "directory": way[0], "who": way[1]} for variable, path, way in found if way
    ]


def target(link: str) -> str:
    """Return where a link leads, whether or not there is something; nothing if there is no link."""
    return os.readlink(link) if Path(link).is_symlink() else ""  # noqa: PTH115 Path.readlink is new in Python 3.9


def _others_wrote(path: str, info: os.stat_result) -> bool:
    """Tell whether others than root may have written a file, or have put it there."""
    # What the sticky bit keeps from others in a directory, it does not in a file.
    who = who_may_write(info.st_uid, info.st_gid, info.st_mode & ~stat.S_ISVTX)
    return bool(who or open_directory(path))


def read(path: str, *, only_of_root: bool = False) -> str:
    """
    Return what is in a file; nothing if it is gone, no file, or not for our eyes.

    A link or a pipe somebody may have put there. `only_of_root`: nothing either, if others can have written it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or (only_of_root and _others_wrote(path, info)):
            return ""
        try:
            return file.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""


def ssh_connection() -> list[str]:
    """Return addresses and ports of the SSH connection, the client's first; nothing if there is none.

    sudo drops the variable, so it is looked for in the processes above this one, too.
    """
    process = str(os.getpid())
    while process:
        for variable in read(f"/proc/{process}/environ").split("\0"):
            if variable.startswith("SSH_CONNECTION="):
                return variable.partition("=")[2].split()
        # pid (comm) state ppid: see proc(5); a name may contain blanks and parentheses.
        process = "".join(read(f"/proc/{process}/stat").rpartition(")")[2].split()[1:2])
    return []


def resolvers(paths: tuple[str, ...] = _RESOLVERS) -> list[str]:
    """Return the addresses of the name servers, in order, each once; none of this host or with a zone."""
    # Often a link, in a directory of root's.
    words = [line.split() for path in paths for line in read(os.path.realpath(path)).splitlines()]
    found = [row[1] for row in words if len(row) > 1 and row[0] == "nameserver"]
    return [address for address in dict.fromkeys(found) if _is_elsewhere(address)]


def _is_elsewhere(address: str) -> bool:
    try:
        return "%" not in address and not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def neighbour(address: str) -> str:
    """Return the hardware address that answers for an address in this network; nothing if none does in a second."""
    if not address:
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Whatever is sent, the kernel has to ask who has the address. 9 is the port that discards.
        try:
            probe.sendto(b"", (address, 9))
        except OSError:
            return ""
    for _ in range(10):
        for fields in map(str.split, read("/proc/net/arp").splitlines()):
            # Address, type, flags (2: complete), hardware address.
            if fields[0] == address and fields[2] == "0x2":
                return fields[3]
        time.sleep(0.1)
    return ""


def postgresql_clusters(configuration: Path, programs: Path) -> dict[str, str]:
    """Return, by version, whether a cluster `main` starts with the host (`auto`); none whose server is gone."""
    found = {}
    for path in configuration.glob("*/main/postgresql.conf"):
        version = path.parent.parent.name
        if (programs / version / "bin" / "postgres").exists():
            lines = read(str(path.with_name("start.conf"))).splitlines()
            # Without a word, Debian starts it.
            found[version] = "".join(line.partition("#")[0].strip() for line in lines) or "auto"
    return found


def postgresql_upgrades(data: Path) -> dict[str, dict[str, Any]]:
    """Return how far each upgrade has come, by the version to which it leads."""
    return {
        path.parent.name.rpartition("-")[2]: {
            "from": read(str(path)).strip(),
            "complete": path.with_name("complete").exists(),
            "linked": path.with_name("linked").exists(),
        }
        for path in sorted(data.glob("upgrade-to-*/begun"))
    }


def running_secrets(places: dict[str, dict[str, Any]], credentials: str) -> dict[str, list[str]]:
    """Return digests of the secrets that units of Airflow have got, of those whose change would cut them off.

    What systemd has given to a unit lies below the directory `credentials` as long as the unit runs. Of what is no
    credential (an authority) it is only said that something runs that knows it.
    """
    units = [*Path(credentials).glob("airflow-*")] if credentials else []
    found: dict[str, list[str]] = {}
    for name, place in places.items():
        if place.get("cuts_off") and place.get("is_held", True):
            file = Path(place["path"]).name.partition(".")[0]
            held = {held_secret(read(f"{unit}/{file}"), place) for unit in units} - {""}
            found[name] = sorted(digest(name, secret) for secret in held)
        elif place.get("cuts_off"):
            found[name] = ["unknown"] if units else []
    return found


def fernet_digests(keys: str) -> dict[str, Any]:
    """Return a digest of each key, for who has the keys to compare: nobody guesses 32 random bytes."""
    salt = os.urandom(16).hex()
    return {"salt": salt, "digests": [digest(salt, key) for key in keys.split(",") if key]}


def has_schema(database: dict[str, Any] | None) -> bool:
    """Tell whether this host's PostgreSQL has Airflow's schema in a database. What does not run has none."""
    if not database:
        return False
    query = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
    # By the environment: in an argument, a name may be a whole connection string.
    variables = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PGDATABASE": database["name"],
        "PGPORT": str(database["port"]),
    }
    result = subprocess.run(
        ["runuser", "-u", "postgres", "--", "psql", "-XAtc", query],
        check=False, cwd="/", env=variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return result.stdout.strip() == "t"


def port(unit: str) -> int:
    """Return the port in the command line of a unit; 0 if there is no such unit, or no port."""
    found = re.search(r"^ExecStart=.* --port (\d+)", read(unit), re.MULTILINE)
    return int(found[1]) if found else 0


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping; nothing for what is none."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """Return the texts of a list; nothing for what is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def recorded(path: str) -> dict[str, Any]:
    """Return what the last run wrote of this host; nothing if it is not there, damaged, or not root's alone."""
    try:
        found = mapping(json.loads(read(path, only_of_root=True) or "{}"))
    except ValueError:
        found = {}
    components = mapping(found.get("components"))
    return {
        "components": {
            name: {key: texts(mapping(entry).get(key)) for key in ("units", "owns")}
            for name, entry in components.items()
        },
        "fixed": mapping(found.get("fixed")),
        "secrets": mapping(found.get("secrets")),
    }


def ours(units: str) -> list[str]:
    """Return the units of Airflow's components: they have a mark that nobody else's have."""
    return sorted(unit.name for unit in Path(units).glob("airflow-*.service") if "X-ConfigChecksum=" in read(str(unit)))


def matching(names: list[str], patterns: list[str]) -> list[str]:
    """Return those of some names that match a pattern."""
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def present_units(patterns: list[str], units: str) -> list[str]:
    """Return the units that there are, by name: those that systemd has loaded, and those with a file here."""
    if not patterns:  # which would be all
        return []
    listing = subprocess.run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", *patterns],
        check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    loaded = [line.split()[0] for line in listing.stdout.splitlines() if " not-found " not in line]
    # A template is no unit that could be stopped; those made from it are loaded.
    files = [path.name for path in Path(units).glob("*.service") if not path.stem.endswith("@")]
    return sorted({*loaded, *matching(files, patterns)})


def expanded(pattern: str) -> list[str]:
    """Return the paths that there are of an absolute pattern."""
    return glob.glob(pattern)  # noqa: PTH207 - Path.glob takes none that begins with a slash


def leaving(placed: dict[str, Any], known: dict[str, Any], record: dict[str, Any], units: str) -> list[dict[str, Any]]:
    """Return what was placed here and is not any more: components with the units and the paths that there are.

    Also without a record, where units are there: whoever lost it has them all the same.
    """
    gone = {name: entry for name, entry in record.items() if name not in placed}
    stay = [pattern for entry in placed.values() for pattern in entry["units"]]
    for unit in set(ours(units)) - set(matching(ours(units), stay)):
        name = next((name for name, entry in known.items() if matching([unit], entry["units"])), unit)
        gone.setdefault(name, known.get(name, {"units": [unit], "owns": [f"{units}/{unit}"]}))
    order = [*known, *sorted(gone)]
    kept = {pattern for entry in placed.values() for pattern in entry["owns"]}
    found = []
    for name in sorted(gone, key=order.index):
        paths = sorted(path for own in set(gone[name]["owns"]) - kept for path in expanded(own))
        # A timer is nobody's unit, and stops with the last component that has it.
        timers = [Path(path).name for path in paths if path.endswith(".timer")]
        found.append({"component": name, "units": timers + present_units(gone[name]["units"], units), "paths": paths})
    return found


def sources(asked: dict[str, Any], packages_missing: bool) -> dict[str, list[str]]:
    """Return which sources apt cannot read; those of a network are asked only where packages may be missing."""
    silent = apt_sources.silent(asked["proxy"], asked["timeout"]) if packages_missing else []
    return {"discs": list(apt_sources.discs()), "silent": silent}


def facts(given: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to the module's parameters."""
    release, units, record = target(given["release"] or ""), given["units"] or "", recorded(given["record"] or "")
    version, asked, stores = _RELEASE.match(Path(release).name), given["postgresql"], given["stores"]
    postgresql, redis = stores.get("postgresql"), stores.get("redis")
    return {
        "clock_offset": round(time.time() - given["now"], 3),
        "python": python_version(given["python"]) if given["python"] else "",
        "release": release,
        "installed_version": version[0] if version else "",
        "unfinished_upgrade": target(given["unfinished_upgrade"] or ""),
        "drained": read(given["drained"] or ""),
        "free_mb": {path: free_mb(path) for path in given["paths"]},
        "open_ways": open_ways(given["root_paths"], given["taken_over"]),
        "ssh_connection": ssh_connection(),
        "resolvers": resolvers(),
        "neighbour": neighbour(given["neighbour"] or ""),
        "api_server_port": port(given["api_server"] or ""),
        "postgresql": postgresql_clusters(Path(asked["configuration"]), Path(asked["programs"])) if asked else {},
        "postgresql_upgrades": postgresql_upgrades(Path(asked["data"])) if asked and asked["data"] else {},
        "secrets": [name for name, place in given["secrets"].items() if held_secret(read(place["path"]), place)],
        "running_secrets": running_secrets(given["secrets"], given["credentials"] or ""),
        "fernet_key": fernet_digests(read(given["fernet_key"] or "")),
        "schema": has_schema(given["database"]),
        "webserver_config": bool(given["webserver_config"]) and Path(given["webserver_config"]).exists(),
        "hosts_template": path if (path := given["hosts_template"] or "") and Path(path).is_file() else "",
        # Written only after a migration, and with a mark that nobody else's have.
        "units": bool(ours(units)) if units else False,
        "record": record,
        "leaving": leaving(given["placed"], given["known"], record["components"], units) if units else [],
        "system": system(given["system"]) if given["system"] else {},
        "sources": sources(given["sources"], bool({*given["placed"]} - {*record["components"]}))
        if given["sources"]
        else {},
        "stores": {
            "postgresql": host_stores.postgresql(postgresql["version"], Path(postgresql["configuration"]))
            if postgresql
            else {},
            "redis": host_stores.redis(redis["package"], Path(redis["configuration"])) if redis else {},
        },
    }


def main() -> None:
    """Run the module."""
    paths = {"type": "list", "elements": "path", "default": []}
    of_text = {name: {"type": "str", "required": True} for name in ("name", "version", "package")}
    of_path = {name: {"type": "path", "required": True} for name in ("configuration", "programs")}
    # No secret is among the parameters, only the places of some.
    optional = (
        "python",
        "credentials",
        "release",
        "unfinished_upgrade",
        "drained",
        "api_server",
        "webserver_config",
        "hosts_template",
        "units",
        "record",
    )
    module = AnsibleModule(
        argument_spec={
            "now": {"type": "float", "required": True},
            **{name: {"type": "path"} for name in optional},
            "neighbour": {"type": "str"},
            "untested": {"type": "str"},
            "paths": paths,
            "root_paths": {"type": "dict", "default": {}},
            "taken_over": paths,
            "postgresql": {"type": "dict", "options": of_path | {"data": {"type": "path"}}},
            "secrets": {"type": "dict", "default": {}, "no_log": False},
            "fernet_key": {"type": "path", "no_log": False},
            "database": {
                "type": "dict",
                "options": {"name": of_text["name"], "port": {"type": "int", "required": True}},
            },
            "placed": {"type": "dict", "default": {}},
            "known": {"type": "dict", "default": {}},
            "system": {
                "type": "dict",
                "options": {
                    "ports": {"type": "list", "elements": "int", "default": []},
                    "programs": paths,
                    "present": {"type": "dict", "default": {}},
                    "user": {"type": "dict", "default": {}},
                    "group": {"type": "dict", "default": {}},
                },
            },
            "sources": {
                "type": "dict",
                "options": {
                    # It may have a password.
                    "proxy": {"type": "dict", "default": {}, "no_log": True},
                    "timeout": {"type": "int", "required": True},
                },
            },
            "stores": {
                "type": "dict",
                "default": {},
                "options": {
                    "postgresql": {
                        "type": "dict",
                        "options": {"version": of_text["version"], "configuration": of_path["configuration"]},
                    },
                    "redis": {
                        "type": "dict",
                        "options": {"package": of_text["package"], "configuration": of_path["configuration"]},
                    },
                },
            },
        },
        supports_check_mode=True,
    )
    if module.params["untested"]:
        module.warn(
            f"{module.params['untested']} is accepted, but no test of Airstrip has run on it. Try it first on a host "
            "that nobody needs."
        )
    module.exit_json(changed=False, **facts(module.params))


if __name__ == "__main__":
    main()
