"""What of a host's package sources apt cannot read. Python 3.9 and newer, standard library only; nothing changes."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_CONFIGURATION = Path("/etc/apt")
# Of sources.list(5), the first of one line, and the others of the fields of deb822(5).
_LINE = re.compile(r"^[ \t]*deb(?:-src)?[ \t]+(?:\[[^]\n]*\][ \t]*)?cdrom:", re.MULTILINE)
_DISABLED = re.compile(r"^enabled:[ \t]*(?:no|false|without|off|disable|0)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FIELD = re.compile(r"^uris:(?:.*\n[ \t])*.*\bcdrom:", re.MULTILINE | re.IGNORECASE)
# The parts Release of all sources and their signatures: no lists of packages, which would be megabytes. Nothing of it
# is used, so there are no hooks, and no cache of those that the host has.
_OPTIONS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
Acquire::IndexTargets::deb::Packages::DefaultEnabled "false";
Acquire::IndexTargets::deb::Translations::DefaultEnabled "false";
Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";
Acquire::Retries "1";
Acquire::http::Timeout "{timeout}";
Acquire::https::Timeout "{timeout}";
Dir::State::lists "{directory}/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
# `Err:2 URL SUITE WHAT`, and in the next line the reason.
_ERROR = re.compile(r"^Err:\d+ (.*)\n[ \t]+(.*)", re.MULTILINE)
_OTHER_ERROR = re.compile(r"^E: (.*)", re.MULTILINE)
_PASSWORD = re.compile(r"//[^/\s@]*@")
_MOST_SECONDS = 120


def _has_disc(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".list":
        return bool(_LINE.search(text))
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    stanzas = re.split(r"\n[ \t]*\n", "\n".join(lines))
    return any(_FIELD.search(stanza) and not _DISABLED.search(stanza) for stanza in stanzas)


def discs(configuration: Path = _CONFIGURATION) -> Iterator[str]:
    """Yield the files with a source on a disc, which somebody would have to put in."""
    directory = configuration / "sources.list.d"
    for path in (configuration / "sources.list", *sorted([*directory.glob("*.list"), *directory.glob("*.sources")])):
        with suppress(OSError):
            if path.is_file() and _has_disc(path):
                yield str(path)


def silent(proxy: Mapping[str, str], timeout: int) -> list[str]:
    """Return what apt says of the sources that it cannot read.

    `proxy` are variables of the environment: they count where apt's own configuration has no proxy, as before the first
    run. Of certificates nothing is said: the authorities of the inventory come with that run, too.
    """
    with tempfile.TemporaryDirectory(prefix="airstrip-") as scratch:
        directory = Path(scratch)
        (directory / "lists" / "partial").mkdir(parents=True)
        # apt downloads as a user of its own.
        directory.chmod(0o755)
        (directory / "apt.conf").write_text(_OPTIONS.format(directory=scratch, timeout=timeout), encoding="utf-8")
        command = ["apt-get", "update", "--quiet", f"--config-file={scratch}/apt.conf"]
        try:
            result = subprocess.run(
                command, check=False, env={**os.environ, **proxy, "LC_ALL": "C"}, text=True, timeout=_MOST_SECONDS,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except FileNotFoundError:  # of a system that its own check refuses
            return []
        except subprocess.TimeoutExpired:
            return [f"apt-get update has not come to its end in {_MOST_SECONDS} s"]
    return errors(result.stdout) if result.returncode else []


def errors(output: str) -> list[str]:
    """Return the errors in what apt has written, each once."""
    found = [f"{what}: {why}" for what, why in _ERROR.findall(output)] or _OTHER_ERROR.findall(output)
    shown = dict.fromkeys(_PASSWORD.sub("//", text).rstrip(" .:") for text in found)
    # Discs are named by their files.
    return [text for text in shown if "certificate verif" not in text.lower() and "cdrom:" not in text]
