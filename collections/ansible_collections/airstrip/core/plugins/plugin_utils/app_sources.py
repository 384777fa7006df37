"""Where an app comes from, on the controller: a directory, an archive or a commit, each with a digest of all of it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# What a build makes anew, or has no use for.
_LEFT_OUT = frozenset({".git", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 120


class SourceError(ValueError):
    """No source, or one that cannot be taken; the message says what and why."""


class Directory:
    """A directory, as a tar of its files without owners and times: the same for the same content."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> str | None:
        """Return a file's text; None if there is none."""
        file = self._path / name
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def digest(self) -> str:
        """Return what changes with any of it."""
        return hashlib.sha256(self._tar()).hexdigest()

    def save(self, file: Path) -> None:
        """Write it as a tar."""
        file.write_bytes(self._tar())

    def _files(self) -> Iterator[Path]:
        for directory, names, files in os.walk(self._path):
            names[:] = sorted(set(names) - _LEFT_OUT)
            # Links to directories are among the names, and nothing below them.
            yield from (Path(directory, name) for name in sorted([*names, *files]))

    def _tar(self) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for path in self._files():
                entry = tar.gettarinfo(str(path), str(path.relative_to(self._path)))
                if entry is None or not (entry.isfile() or entry.isdir() or entry.issym()):
                    raise SourceError(f"{path} is neither a file nor a directory nor a link")
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
                if entry.isfile():
                    with path.open("rb") as file:
                        tar.addfile(entry, file)
                else:
                    tar.addfile(entry)
        return content.getvalue()


class Archive:
    """An archive, whose files lie at its top."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> str | None:
        """Return a file's text; None if there is none."""
        with tarfile.open(self._path) as tar:
            for entry in tar:
                if entry.name.removeprefix("./") == name and (file := tar.extractfile(entry)):
                    return file.read().decode()
        return None

    def digest(self) -> str:
        """Return what changes with any of it."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def save(self, file: Path) -> None:
        """Write it as it is: tar sees how it is packed."""
        file.write_bytes(self._path.read_bytes())


class Repository:
    """A commit of a Git repository. Nothing of it is fetched before it is needed."""

    def __init__(self, url: str, ref: str, path: str) -> None:
        self._url, self._ref, self._path = url, ref, path.strip("/")

    def read(self, name: str) -> str | None:  # noqa: ARG002 - as the other sources
        """Return nothing: its files are looked at where it is built."""
        return None

    def _commit(self) -> str:
        if _COMMIT.fullmatch(self._ref):
            return self._ref
        # Of an annotated tag, the last is the commit.
        rows = _git("ls-remote", "--", self._url, self._ref, f"{self._ref}^{{}}").split("\n")
        commits = [row.split("\t")[0] for row in rows if row]
        if not commits:
            raise SourceError(f"{self._url} has no {self._ref}")
        return commits[-1]

    def digest(self) -> str:
        """Return what changes with the commit."""
        return hashlib.sha256(f"{self._commit()} {self._path}".encode()).hexdigest()

    def save(self, file: Path) -> None:
        """Fetch it, and write it as a tar."""
        with TemporaryDirectory() as directory:
            _git("init", "--quiet", directory)
            _git("-C", directory, "fetch", "--quiet", "--depth=1", "--", self._url, self._commit())
            tree = f"FETCH_HEAD:{self._path}" if self._path else "FETCH_HEAD"
            _git("-C", directory, "archive", "--format=tar", f"--output={file}", tree)


Source = Directory | Archive | Repository


def _git(*arguments: str) -> str:
    """Run Git with the controller's own credentials; nobody is there to be asked for others."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    # No helper of a URL may run a program (ext::).
    argv = ["git", "-c", "protocol.ext.allow=never", *arguments]
    try:
        result = subprocess.run(
            argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment,
            timeout=_PATIENCE,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"git {arguments[0]}: {error}") from error
    if result.returncode:
        raise SourceError(f"git: {result.stderr.strip()[-500:]}")
    return result.stdout


def source_of(given: object, directory: Path) -> Source:
    """Return a source as it was given; paths count from a directory. Raises SourceError if there is none."""
    if isinstance(given, Mapping):
        if str(given["git"]).startswith("-") or str(given["ref"]).startswith("-"):
            raise SourceError("the repository or its ref begins with -")
        return Repository(str(given["git"]), str(given["ref"]), str(given.get("path") or ""))
    path = directory / Path(str(given)).expanduser()
    if path.is_dir():
        return Directory(path)
    if path.is_file() and path.name.endswith(_ARCHIVES):
        return Archive(path)
    raise SourceError(f"there is no directory or archive ({', '.join(_ARCHIVES)}) {path}")


def release_of(source: Source, built_with: Mapping[str, Any]) -> str:
    """Return the name of a release: it changes with its source, and with all that it is built with."""
    text = source.digest() + "".join(f"\n{name}={built_with[name]}" for name in sorted(built_with))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
