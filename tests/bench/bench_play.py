"""Runs programs, and tells how long they took and what they cost this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
_RECAP = re.compile(r"^\S+ +: ok=(?P<ok>\d+) +changed=(?P<changed>\d+) ", re.MULTILINE)


class BenchError(Exception):
    """A benchmark that could not be carried out."""


@dataclass(frozen=True)
class Timing:
    """What a program took: wall-clock time, processor time, and the memory of its largest process."""

    seconds: float
    cpu_seconds: float
    max_rss_mb: float
    output: str

    @property
    def changed(self) -> int:
        """How many tasks of a playbook changed something, on all hosts."""
        return sum(int(found["changed"]) for found in _RECAP.finditer(self.output))

    @property
    def results(self) -> int:
        """How many tasks of a playbook ran, on all hosts."""
        return sum(int(found["ok"]) for found in _RECAP.finditer(self.output))


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    sys.stderr.write(f"bench: {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def timed(argv: Sequence[str], log: Path) -> Timing:
    """Run a program from the project's directory; raise BenchError, with the end of its output, if it fails."""
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        # A session of its own, to end it with all its children if this program is told to end.
        process = subprocess.Popen(
            argv, cwd=PROJECT, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    timing = Timing(
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        max_rss_mb=usage.ru_maxrss / 1024,
        output=log.read_text(encoding="utf-8", errors="replace"),
    )
    if process.returncode != 0:
        raise BenchError(f"{argv[0]} failed ({process.returncode}); the end of {log}:\n{timing.output[-6000:]}")
    return timing


def playbook(inventory: Path | str, book: Path | str, log: Path, *arguments: str) -> Timing:
    """Run a playbook with the project's environment and configuration."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    timing = timed([program, "--inventory", str(inventory), *arguments, str(book)], log)
    say(f"{Path(book).name}: {timing.seconds:.1f} s, {timing.changed} changed")
    return timing
