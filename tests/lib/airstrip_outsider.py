"""A host beside a site's hosts, of which the site's inventory knows nothing: as a user's machine, or a stranger's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from airstrip_site import PROJECT

_LAB = PROJECT / "molecule" / "shared" / "lab"
# A program in Python, with a host and a port. Says each second that a connection lives, and at its end that it is dead.
LIVES = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as peer:
    peer.settimeout(5)
    try:
        while True:
            peer.sendall(b"x")
            peer.recv(9)
            print("lives", flush=True)
            time.sleep(1)
    except OSError:
        print("dead", flush=True)
"""


@dataclass(frozen=True)
class Outsider:
    """A container of the test hosts' image, without systemd, in the network of one lab."""

    container: str

    def run(self, argv: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in it, as root, with `given` as standard input; whether it succeeded, the result tells."""
        command = ["docker", "exec", "--interactive", self.container, *argv]
        return subprocess.run(command, input=given, capture_output=True, check=False, text=True)

    def check_output(self, argv: Sequence[str], given: str = "") -> str:
        """Return the output of a program; raise RuntimeError, with its messages, if it fails."""
        result = self.run(argv, given)
        if result.returncode != 0:
            raise RuntimeError(f"{argv[0]} failed ({result.returncode}):\n{result.stdout}{result.stderr}")
        return result.stdout

    @contextmanager
    def running(self, argv: Sequence[str], **environment: str) -> Iterator[IO[str]]:
        """Run a program for as long as the context lasts; give what it prints."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        # The end of docker's client would not end the program: the end of its input does.
        script = 'exec 3<&0; { read -r _ <&3; kill $$; } >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'
        command = ["docker", "exec", "--interactive", *variables, self.container, "sh", "-c", script, "sh", *argv]
        pipe, together = subprocess.PIPE, subprocess.STDOUT
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=together, text=True) as process:
            # Popen has both, as they are pipes.
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.stdin.close()

    @cached_property
    def address(self) -> str:
        """The IP address at which the controller, and the site's hosts, see it."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        argv = ["docker", "inspect", "--format", template, self.container]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()

    def name(self, address: str, *names: str) -> None:
        """Let names lead to an address, as a name server of the users would."""
        self.check_output(["tee", "--append", "/etc/hosts"], given=f"{address} {' '.join(names)}\n")


@contextmanager
def outside(lab: str) -> Iterator[Outsider]:
    """Start an outsider in the network of a lab, and remove it at the end; its label is the lab's, if that fails."""
    image = subprocess.run([_LAB, "image", "trixie"], capture_output=True, check=True, text=True).stdout.strip()
    outsider = Outsider(f"airstrip-{lab}-outsider")
    _remove(outsider)
    subprocess.run(
        [
            "docker", "run", "--detach", "--init", "--name", outsider.container, "--hostname", "outsider",
            "--label", f"io.airstrip.lab={lab}", "--network", f"airstrip-{lab}",
            # A browser draws its pages there; Docker's 64 MB are too few.
            "--shm-size", "1g", image, "sleep", "infinity",
        ],
        capture_output=True, check=True,
    )  # fmt: skip
    try:
        yield outsider
    finally:
        _remove(outsider)


def _remove(outsider: Outsider) -> None:
    """Remove an outsider, if it is there."""
    subprocess.run(["docker", "rm", "--force", "--volumes", outsider.container], capture_output=True, check=False)
