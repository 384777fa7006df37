"""The files of a version of DAGs: what they are, on the controller and on the hosts, and how they get from there."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

# What Python and Git leave beside the files.
_LEFT_OUT = (".git", "__pycache__")
_PROGRAM = 0o100
# As much of a digest as a name can have.
_DIGITS = 32


class DagFilesError(Exception):
    """Files that are no version of DAGs; the message says which, and why."""


def _described(path: Path, name: str) -> str:
    """Return what a file is: its content's digest, or where a link leads. Raises DagFilesError for anything else."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        target = path.readlink()
        inside = os.path.normpath(PurePosixPath(name).parent / target)
        if target.is_absolute() or inside.split("/")[0] == "..":
            raise DagFilesError(f"{name} is a link to {target}, which is outside of the DAGs and not on every host")
        return f"link {target}"
    if not stat.S_ISREG(mode):
        raise DagFilesError(f"{name} is neither a file nor a directory nor a link")
    return f"{'program' if mode & _PROGRAM else 'file'} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def listed(directory: Path) -> dict[str, str]:
    """Return what lies below a directory, by path. Raises DagFilesError for what no version can have."""
    found: dict[str, str] = {}
    for place, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in _LEFT_OUT]
        links = [name for name in directories if (Path(place) / name).is_symlink()]
        for name in [*files, *links]:
            if not name.endswith(".pyc"):
                path = Path(place) / name
                found[path.relative_to(directory).as_posix()] = _described(path, str(path.relative_to(directory)))
    return dict(sorted(found.items()))


def digest(files: Mapping[str, str]) -> str:
    """Return one digest of all files."""
    text = "".join(f"{what} {name}\n" for name, what in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def pack(directory: Path, files: Mapping[str, str], archive: Path) -> None:
    """Write the files into an archive, without whose they are and when they were written."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.mode & _PROGRAM else 0o644
        return member

    with tarfile.open(archive, "w:gz", compresslevel=6) as writer:
        for name in files:
            writer.add(directory / name, arcname=name, recursive=False, filter=plain)


def unpack(archive: Path, directory: Path) -> None:
    """Write what an archive holds into a new directory. Raises DagFilesError for a name that leads out of it."""
    directory.mkdir(mode=0o755)
    with tarfile.open(archive) as reader:
        for member in reader:
            parts = PurePosixPath(member.name).parts
            if member.isdir():
                continue
            if member.name.startswith("/") or ".." in parts or not (member.isreg() or member.issym()):
                raise DagFilesError(f"the archive holds {member.name}, which is no file of a version")
            path = directory / member.name
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if member.issym():
                path.symlink_to(member.linkname)
                continue
            content = reader.extractfile(member)
            path.write_bytes(content.read() if content else b"")
            path.chmod(0o755 if member.mode & _PROGRAM else 0o644)
