"""A VM that a scenario has not had: booted beside its hosts as they were, bare, and reached by SSH as they are."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from airstrip_site import PROJECT, Site

_SHARED = PROJECT / "molecule" / "shared"
# What a cloud image's first boot does, as in molecule/shared/tasks/ssh.yml; then it says its host key.
_FIRST_BOOT = """
useradd --create-home --shell /bin/bash admin
install -d -m 0700 -o admin -g admin /home/admin/.ssh
cat >/home/admin/.ssh/authorized_keys
chown admin:admin /home/admin/.ssh/authorized_keys
chmod 0600 /home/admin/.ssh/authorized_keys
printf 'admin ALL=(ALL) NOPASSWD: ALL\\n' >/etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin
apt-get update --quiet >&2
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


@dataclass(frozen=True)
class Newcomer:
    """The new host, and the site with it."""

    site: Site
    name: str
    address: str
    directory: Path

    def within(self, group: str, **variables: Any) -> Site:
        """Return the site with the host in a group, with these variables."""
        known = self.site.inventory["_meta"]["hostvars"][self.site.group("airflow_worker")[0]]
        reached = {name: value for name, value in known.items() if name.startswith("ansible_")}
        host = {self.name: reached | {"ansible_host": self.address} | variables}
        source = self.directory / f"{group}.yml"
        source.write_text(
            json.dumps({"all": {"children": {"molecule": {"hosts": host}, group: {"hosts": {self.name: None}}}}}),
            encoding="utf-8",
        )
        return replace(self.site, inventory_sources=[*self.site.inventory_sources, f"--inventory={source}"])


def _docker(*arguments: str, given: str | None = None) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True, text=True).stdout.strip()


def _booted(lab: Mapping[str, Any], scenario: str, name: str, image: str) -> str:
    """Boot a container as molecule/shared/create.yml does; return its name."""
    container = f"airstrip-{scenario}-{name}"
    _docker("rm", "--force", "--volumes", container)
    withheld = [f"--cap-drop={capability}" for capability in lab["lab_withheld_capabilities"]]
    _docker(
        "run", "--detach", f"--name={container}", f"--hostname={name}", f"--label=io.airstrip.lab={scenario}",
        f"--network=airstrip-{scenario}", "--env=container=docker", "--cap-add=ALL", *withheld,
        "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--cgroupns=private",
        "--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec,mode=1777", "--shm-size=1g",
        "--stop-signal=SIGRTMIN+3", f"--volume=airstrip-{scenario}-airflow:/srv/airflow",
        image, "/bin/sh", "-c", lab["lab_first_process"],
    )  # fmt: skip
    end = time.monotonic() + 60
    while subprocess.run(
        ["docker", "exec", container, "systemctl", "is-system-running", "--wait"],
        capture_output=True, check=False, text=True,
    ).stdout.strip() not in ("running", "degraded"):  # fmt: skip
        assert time.monotonic() < end, f"{container} has not booted"
        time.sleep(1)
    return container


@contextmanager
def newcomer(site: Site, name: str, directory: Path) -> Iterator[Newcomer]:
    """Boot a new host, and remove it at the end; the SSH client knows it meanwhile."""
    lab = yaml.safe_load((_SHARED / "lab.yml").read_text(encoding="utf-8"))
    image = _docker("inspect", "--format={{.Config.Image}}", f"airstrip-{site.scenario}-{site.hosts[0]}")
    container = _booted(lab, site.scenario, name, image)
    files = [site.directory / "ssh_config", site.directory / "known_hosts"]
    before = [path.read_text(encoding="utf-8") for path in files]
    try:
        address = _docker("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)
        public = (site.directory / "id_ed25519.pub").read_text(encoding="utf-8")
        key = _docker("exec", "--interactive", container, "sh", "-euc", _FIRST_BOOT, given=public)
        for path, old, new in zip(
            files, before, (f"Host {name}\n  HostName {address}\n", f"{address} {key}\n"), strict=True
        ):
            # Of two entries of the client's configuration the first one counts.
            path.write_text(new + old, encoding="utf-8")
        yield Newcomer(site, name, address, directory)
    finally:
        for path, old in zip(files, before, strict=True):
            path.write_text(old, encoding="utf-8")
        _docker("rm", "--force", "--volumes", container)
