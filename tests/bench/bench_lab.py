"""The hosts of a benchmark: containers with systemd, made as those of Molecule and bin/demo are."""

from __future__ import annotations

import io
import ipaddress
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_play
from bench_play import PROJECT, BenchError

CERTIFICATES = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Lab:
    """The hosts of one benchmark, with the label io.airstrip.lab=bench-NAME; what is written for them is in a cache."""

    name: str

    @property
    def label(self) -> str:
        """Name of the lab in its containers' label."""
        return f"bench-{self.name}"

    @property
    def directory(self) -> Path:
        """Where inventories, playbooks and logs are kept."""
        return PROJECT / ".cache" / "bench" / self.name

    def container(self, host: str) -> str:
        """Return the name of a host's container."""
        return f"airstrip-{self.label}-{host}"

    def boot(self, hosts: Mapping[str, Sequence[str]]) -> None:
        """Boot hosts, each with its shared volumes ("NAME:PATH"); those that run stay as they are."""
        self.directory.mkdir(parents=True, exist_ok=True)
        platforms = [
            {"name": name, "suite": "trixie", "connection": "ssh", "volumes": list(volumes)}
            for name, volumes in hosts.items()
        ]
        variables = json.dumps(
            {"lab_name": self.label, "lab_platforms": platforms, "lab_directory": str(self.directory)}
        )
        book = PROJECT / "molecule" / "shared" / "create.yml"
        bench_play.playbook("localhost,", book, self.log("create"), "--extra-vars", variables)

    @property
    def connection(self) -> dict[str, Any]:
        """The variables by which Ansible reaches each host at its address, as users reach a VM: by SSH and sudo."""
        return {
            "ansible_connection": "ssh",
            "ansible_ssh_common_args": f"-F {self.directory}/ssh_config",
            "ansible_become": True,
        }

    def log(self, name: str) -> Path:
        """Return the file for the output of a command."""
        return self.directory / f"{name}.log"

    def remove(self) -> None:
        """Remove all hosts and what was written for them, except the logs."""
        self._program(str(PROJECT / "molecule" / "shared" / "lab"), "clean", self.label)
        shutil.rmtree(self.directory / "inventory", ignore_errors=True)

    def run(self, host: str, *argv: str, given: str | None = None) -> str:
        """Return the output of a command on a host, as root."""
        return self._program("docker", "exec", "--interactive", self.container(host), *argv, given=given)

    def put(self, host: str, directory: str, files: Mapping[str, str], mode: int = 0o644) -> None:
        """Write files into a directory of a host, which is made if it is not there."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, text in files.items():
                content = text.encode()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, io.BytesIO(content))
        self.run(host, "mkdir", "--parents", directory)
        command = [
            "docker",
            "exec",
            "--interactive",
            self.container(host),
            "tar",
            "--extract",
            "--directory",
            directory,
        ]
        subprocess.run(command, input=archive.getvalue(), check=True)

    def trust(self, host: str) -> None:
        """Let a host have the certificates which this machine's administrator trusts; it must still read them."""
        found = {path.name: path.read_text(encoding="utf-8") for path in CERTIFICATES.glob("*.crt")}
        self.put(host, str(CERTIFICATES), found)

    def address(self, host: str) -> str:
        """Return a host's IP address."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self._program("docker", "inspect", "--format", template, self.container(host)).strip()

    def network(self) -> ipaddress.IPv4Network:
        """Return the subnet of the hosts."""
        template = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
        subnet = self._program("docker", "network", "inspect", "--format", template, f"airstrip-{self.label}")
        return ipaddress.IPv4Network(subnet.strip())

    @staticmethod
    def _program(*argv: str, given: str | None = None) -> str:
        stdin = subprocess.DEVNULL if given is None else None
        result = subprocess.run(argv, stdin=stdin, input=given, capture_output=True, check=False, text=True)
        if result.returncode != 0:
            raise BenchError(f"{' '.join(argv)[:200]} failed ({result.returncode}):\n{result.stdout}{result.stderr}")
        return result.stdout


@contextmanager
def lab(name: str, keep: bool = False) -> Iterator[Lab]:
    """Give a lab and remove it at the end, whatever happens; one to keep also takes up what an earlier run kept."""
    hosts = Lab(name)
    if not keep:
        hosts.remove()
    try:
        yield hosts
    finally:
        if keep:
            bench_play.say(f"kept: {PROJECT}/molecule/shared/lab clean {hosts.label} removes the hosts")
        else:
            hosts.remove()
