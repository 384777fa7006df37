#!/usr/bin/python3 -I
"""
Keep the logs of a host, and the versions of Git bundles, within bounds.

airstrip-cleanup.service runs it as the user of Airflow. Task code has the same user, and may have put anything in the
place of a log: so nothing is read but times, no link is followed, and all is done by the descriptors of directories,
below those that root has named. What is another user's, or on another file system, stays.

It needs no more than Python 3.9. A number of 0 is no bound.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import signal
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOUR, DAY, MB = 3600, 86400, 2**20
# What was written within this time may belong to a task that runs.
YOUNG = HOUR
# Directories in one another, which is also how many are open at once. Nobody's logs are as deep.
_DEPTH = 100
# Ages are counted by the hour, up to this one: task code can give a file any time.
_OLDEST = 24 * 3660
_LINES = 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe would wait for its other end.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# File systems whose leases are a server's to give, and tell nothing of who has a file open.
_REMOTE = ("9p", "afs", "ceph", "cifs", "fuse", "nfs", "smb")
# Names in a storage of bundles: Airflow's own, and ours for what is being removed.
_TRACKING, _LOCKS, _REMOVED = "_tracking", "_locks", ".airstrip-removed-"


class BusyError(Exception):
    """Somebody else holds a lock."""


@dataclass
class Report:
    """What was done, and what could not be."""

    files: int = 0
    directories: int = 0
    freed: int = 0
    versions: int = 0
    problems: int = 0

    def problem(self, what: str, error: object) -> None:
        """Print what went wrong; names come from task code, so they are cut, and without control characters."""
        self.problems += 1
        if self.problems <= _LINES:
            print(f"{ascii(what)[:200]}: {error}", file=sys.stderr)

    def __str__(self) -> str:
        """Return one line for the journal."""
        left = f"; {self.problems} problems, of which the first stand above" if self.problems else ""
        return (
            f"removed {self.files} files ({self.freed / MB:.1f} MB), {self.directories} directories and "
            f"{self.versions} versions of bundles{left}"
        )


def written(info: os.stat_result, now: float) -> float:
    """Return when something was written; a time that has not come yet was made up, and its change of state was not."""
    return info.st_mtime if info.st_mtime <= now else min(info.st_ctime, now)


def size(info: os.stat_result) -> int:
    """Return the bytes that a name takes: of a file with several names, each has its part."""
    return info.st_blocks * 512 // max(1, info.st_nlink)


def tells_leases(descriptor: int) -> bool:
    """Tell whether a directory's file system knows who has a file open, since all who can are on this host."""
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", errors="replace") as table:  # noqa: PTH123
        for line in table:
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == number:
                return not rest.startswith(_REMOTE)
    return True


def is_written(directory: int, name: str) -> bool:
    """Tell whether a process has a file open to write: then the kernel gives no lease to read it.

    `/proc` does not tell: a unit does not see what those of others have open.
    """
    try:
        descriptor = os.open(name, _LOOK, dir_fd=directory)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)


class Rule:
    """What is removed: everything, also from directories that their owner may not write."""

    forces = True

    def file(self, directory: int, name: str, info: os.stat_result) -> bool:  # noqa: ARG002
        """Tell whether a file goes."""
        return True

    def directory(self, info: os.stat_result) -> bool:  # noqa: ARG002
        """Tell whether a directory goes that is empty by now."""
        return True


@dataclass
class Aged(Rule):
    """Logs of more than some days go. The others are counted, by the hour of their age."""

    forces = False

    now: float
    days: int
    asks_leases: bool
    ages: Counter[int] = field(default_factory=Counter)
    total: int = 0

    def file(self, directory: int, name: str, info: os.stat_result) -> bool:
        """Tell whether a log goes."""
        if self.goes(info) and not self.is_open(directory, name, info):
            return True
        self.total += size(info)
        if self.age(info) >= YOUNG:
            self.ages[self.hour(info)] += size(info)
        return False

    def directory(self, info: os.stat_result) -> bool:
        """Tell whether an empty directory goes: not where a task may be about to begin its log."""
        return self.age(info) >= YOUNG

    def goes(self, info: os.stat_result) -> bool:
        """Tell whether a log is too old."""
        return self.days > 0 and self.age(info) >= max(YOUNG, self.days * DAY)

    def is_open(self, directory: int, name: str, info: os.stat_result) -> bool:
        """Tell whether a task writes a log."""
        return self.asks_leases and stat.S_ISREG(info.st_mode) and is_written(directory, name)

    def age(self, info: os.stat_result) -> float:
        """Return the seconds since something was written."""
        return self.now - written(info, self.now)

    def hour(self, info: os.stat_result) -> int:
        """Return the same in hours."""
        return min(int(self.age(info)) // HOUR, _OLDEST)


@dataclass
class Oversized(Aged):
    """The oldest logs go, until those that are left take no more than `most`."""

    most: int = 0
    # Of this hour some go, of those before all.
    last: int = _OLDEST + 1
    excess: int = 0

    @classmethod
    def after(cls, seen: Aged, most: int) -> Oversized:
        """Return the rule that follows from what is there."""
        rule = cls(seen.now, seen.days, seen.asks_leases, most=most, excess=seen.total - most)
        before = 0
        for hour in sorted(seen.ages, reverse=True):
            if before >= rule.excess:
                break
            rule.last, rule.excess = hour, rule.excess - before
            before = seen.ages[hour]
        return rule

    def goes(self, info: os.stat_result) -> bool:
        """Tell whether a log is among the oldest."""
        hour = self.hour(info)
        if self.age(info) < YOUNG or hour < self.last:
            return False
        return hour > self.last or self.excess > 0

    def file(self, directory: int, name: str, info: os.stat_result) -> bool:
        """Tell whether a log goes."""
        gone = super().file(directory, name, info)
        if gone and self.hour(info) == self.last:
            self.excess -= size(info)
        return gone


@dataclass
class Sweep:
    """A walk through a directory, below which a rule says what goes."""

    rule: Rule
    report: Report
    owners: frozenset[int]
    device: int
    kept: frozenset[tuple[int, int]] = frozenset()

    def sweep(self, directory: int, place: str, depth: int = 0) -> bool:
        """Remove what goes; tell whether nothing is left."""
        empty = True
        with os.scandir(directory) as entries:
            for entry in entries:
                path = f"{place}/{entry.name}"
                try:
                    info = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
                    gone = (
                        self._directory(directory, entry.name, path, depth + 1)
                        if stat.S_ISDIR(info.st_mode)
                        else self._file(directory, entry.name, info)
                    )
                except FileNotFoundError:  # somebody else was here, too
                    continue
                except OSError as error:
                    self.report.problem(path, error.strerror)
                    gone = False
                empty = empty and gone
        return empty

    def _file(self, directory: int, name: str, info: os.stat_result) -> bool:
        if info.st_uid not in self.owners or not self.rule.file(directory, name, info):
            return False
        os.unlink(name, dir_fd=directory)
        self.report.files += 1
        self.report.freed += size(info)
        return True

    def _directory(self, parent: int, name: str, path: str, depth: int) -> bool:
        with opened(name, parent) as directory:
            info = os.fstat(directory)
            if info.st_dev != self.device or (info.st_dev, info.st_ino) in self.kept or info.st_uid not in self.owners:
                return False
            if depth >= _DEPTH:
                raise OSError(errno.ELOOP, f"more than {_DEPTH} directories in one another")
            if self.rule.forces:
                os.fchmod(directory, stat.S_IRWXU)
            if not self.sweep(directory, path, depth) or not self.rule.directory(info):
                return False
        os.rmdir(name, dir_fd=parent)
        self.report.directories += 1
        return True


@contextmanager
def opened(name: str | os.PathLike[str], parent: int | None = None, flags: int = _DIRECTORY) -> Iterator[int]:
    """Open a directory as long as it is used. Raises OSError."""
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def names(directory: int) -> list[str]:
    """Return what is in a directory, in order."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries)


def owners_of(directory: int) -> frozenset[int]:
    """Return whose files may go: of ours, and where a server makes all files one user's, of that one."""
    return frozenset({os.geteuid(), os.fstat(directory).st_uid})


# Logs


def identities(paths: Sequence[Path]) -> frozenset[tuple[int, int]]:
    """Return device and inode of paths, of those that there are."""
    found = set()
    for path in paths:
        with suppress(OSError):
            info = path.stat()
            found.add((info.st_dev, info.st_ino))
    return frozenset(found)


def clean_logs(logs: Path, given: argparse.Namespace, report: Report, now: float) -> None:
    """Remove logs of more than some days, and the oldest ones of too many. Raises OSError if there is no directory."""
    # Root's choice, who may have made a link of it.
    with opened(logs, flags=_DIRECTORY & ~os.O_NOFOLLOW) as directory:
        info, owners, kept = os.fstat(directory), owners_of(directory), identities(given.keep)
        device = info.st_dev
        if (device, info.st_ino) in kept:
            raise OSError(errno.EPERM, "is not for logs alone, so nothing is removed")
        seen = Aged(now, given.days, tells_leases(directory))
        Sweep(seen, report, owners, device, kept).sweep(directory, str(logs))
        if not given.mb or seen.total <= given.mb * MB:
            return
    # Again, as a descriptor has one place in its directory.
    with opened(logs, flags=_DIRECTORY & ~os.O_NOFOLLOW) as directory:
        rule = Oversized.after(seen, given.mb * MB)
        Sweep(rule, report, owners, device, kept).sweep(directory, str(logs))
        if rule.total > rule.most:
            print(f"{logs} has {rule.total / MB:.1f} MB, which are of the last hour, open, or not ours to remove")


# Versions of bundles, as airflow.dag_processing.bundles.base keeps them: STORAGE/BUNDLE/versions/VERSION. A task that
# runs from one has a shared lock on STORAGE/_tracking/BUNDLE/VERSION, which it wrote when it began; whoever makes one
# or looks whether it is there, has a lock on STORAGE/_locks/BUNDLE.lock.


@contextmanager
def directories(parent: int, *steps: str) -> Iterator[int]:
    """Open a directory below another one, and make what is missing."""
    with ExitStack() as stack:
        for step in steps:
            with suppress(FileExistsError):
                os.mkdir(step, dir_fd=parent)
            parent = stack.enter_context(opened(step, parent))
        yield parent


@contextmanager
def locked(directory: int, name: str) -> Iterator[int]:
    """Hold the only lock on a file, which is made if there is none. Raises BusyError instead of waiting."""
    flags = _LOOK & ~os.O_RDONLY | os.O_RDWR | os.O_CREAT
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there, ours = os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(descriptor)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise BusyError
        yield descriptor
    except BlockingIOError:
        raise BusyError from None
    finally:
        os.close(descriptor)


def is_own_directory(parent: int, name: str) -> bool:
    """Tell whether a name is that of a directory of ours, and no link."""
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()


def last_read(directory: int, depth: int = 0) -> float:
    """Return when a file below a directory was read last, as far as the file system notes it."""
    latest = 0.0
    for name in names(directory):
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode) and depth < _DEPTH:
            with opened(name, directory) as below:
                latest = max(latest, last_read(below, depth + 1))
        elif stat.S_ISREG(info.st_mode):
            latest = max(latest, info.st_atime)
    return latest


def last_used(versions: int, version: str, tracking: int) -> float:
    """Return when a version was made, or a task began with it, which is when its file was written."""
    found = os.stat(version, dir_fd=versions, follow_symlinks=False).st_mtime
    with suppress(FileNotFoundError):
        found = max(found, os.stat(version, dir_fd=tracking, follow_symlinks=False).st_mtime)
    return found


@dataclass
class Storage:
    """A directory of bundles, of one unit."""

    descriptor: int
    place: str
    report: Report
    now: float
    hours: int

    def clean(self) -> None:
        """Remove the versions of all its bundles that nobody uses."""
        for bundle in names(self.descriptor):
            if bundle in (_TRACKING, _LOCKS):
                continue
            try:
                with opened(bundle, self.descriptor) as base, opened("versions", base) as versions:
                    self._bundle(bundle, versions)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.report.problem(f"{self.place}/{bundle}", error.strerror)

    def _bundle(self, bundle: str, versions: int) -> None:
        found = {}
        with directories(self.descriptor, _TRACKING, bundle) as tracking, directories(self.descriptor, _LOCKS) as locks:
            for version in names(versions):
                if version.startswith(_REMOVED):  # left over, as a run was cut off
                    self._sweep(versions, version)
                elif is_own_directory(versions, version):
                    found[version] = last_used(versions, version, tracking)
            # The newest one is what the next run has, most likely.
            for version in sorted(found, key=lambda name: found[name])[:-1]:
                if found[version] < self.now - self.hours * HOUR:
                    try:
                        self._remove(bundle, version, versions, tracking, locks)
                    except BusyError:
                        continue
                    except OSError as error:
                        self.report.problem(f"{self.place}/{bundle}/versions/{version}", error.strerror)

    def _remove(self, bundle: str, version: str, versions: int, tracking: int, locks: int) -> None:
        """Remove a version, unless it is used. Raises BusyError if it is locked."""
        aside = _REMOVED + version
        with locked(locks, f"{bundle}.lock"), locked(tracking, version) as tracked:
            # Out of the way of a task that begins now, and has not locked its file yet: it has written it.
            os.rename(version, _REMOVED, src_dir_fd=tracking, dst_dir_fd=locks)
            used = True
            try:
                used = self._is_used(versions, version, os.fstat(tracked))
            finally:
                if used:
                    os.rename(_REMOVED, version, src_dir_fd=locks, dst_dir_fd=tracking)
            if used:
                return
            # At once, because Airflow takes what is left of a version for all of it.
            os.rename(version, aside, src_dir_fd=versions, dst_dir_fd=versions)
            os.unlink(_REMOVED, dir_fd=locks)
        self.report.versions += 1
        self._sweep(versions, aside)

    def _is_used(self, versions: int, version: str, tracked: os.stat_result) -> bool:
        """Tell whether a task began with a version by now, or is about to: it reads its DAG file before it has a lock.

        No longer than an hour ago, since backups read files, too. An empty file is one that we made.
        """
        if tracked.st_size and tracked.st_mtime >= self.now - self.hours * HOUR:
            return True
        with opened(version, versions) as directory:
            return last_read(directory) >= self.now - YOUNG

    def _sweep(self, versions: int, name: str) -> None:
        with opened(name, versions) as directory:
            os.fchmod(directory, stat.S_IRWXU)
            whole = Sweep(Rule(), self.report, frozenset({os.geteuid()}), os.fstat(directory).st_dev)
            empty = whole.sweep(directory, f"{self.place}/{name}")
        if empty:
            os.rmdir(name, dir_fd=versions)


def storages(given: argparse.Namespace, report: Report) -> Iterator[tuple[int, str]]:
    """Yield the storages of bundles: those that are named, and the one in each unit's own directory."""
    seen = set()
    with ExitStack() as stack:
        homes = stack.enter_context(opened(given.homes, flags=_DIRECTORY & ~os.O_NOFOLLOW))
        places: list[tuple[int | None, str]] = [(None, str(path)) for path in given.bundles]
        places += [(homes, name) for name in names(homes) if is_own_directory(homes, name)]
        for parent, name in places:
            try:
                base = parent if parent is None else stack.enter_context(opened(name, parent))
                found = stack.enter_context(opened(name) if base is None else opened("bundles", base))
                info = os.fstat(found)
                if (info.st_dev, info.st_ino) not in seen and info.st_uid == os.geteuid():
                    yield found, name if base is None else f"{given.homes}/{name}/bundles"
                seen.add((info.st_dev, info.st_ino))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                report.problem(name, error.strerror)


def number(text: str) -> int:
    """Return a bound. Raises ValueError."""
    found = int(text)
    if found < 0:
        raise ValueError
    return found


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="airstrip-cleanup", description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--logs", type=Path, required=True, help="directory of the logs")
    parser.add_argument("--days", type=number, required=True, help="logs that are older go")
    parser.add_argument("--mb", type=number, required=True, help="of more than these, the oldest ones go")
    parser.add_argument("--keep", type=Path, action="append", default=[], help="directory that stays, wherever it is")
    parser.add_argument("--homes", type=Path, required=True, help="directory of the units' own, with their bundles")
    parser.add_argument("--bundles", type=Path, action="append", default=[], help="another directory of bundles")
    parser.add_argument("--hours", type=number, required=True, help="versions that nobody uses go after these")
    return parser.parse_args(given)


def main(argv: Sequence[str]) -> int:
    """Clean up. Return 1 if logs or bundles could not be looked at, 2 for root."""
    given, report, now, status = arguments(argv), Report(), time.time(), 0
    if os.geteuid() == 0:
        print("This is not for root: systemctl start airstrip-cleanup.service", file=sys.stderr)
        return 2
    # Whoever opens a file on which there is a lease gets it at once; the signal that says so would end us.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        clean_logs(given.logs, given, report, now)
    except OSError as error:
        report.problem(str(given.logs), error.strerror)
        status = 1
    try:
        for descriptor, place in storages(given, report) if given.hours else ():
            Storage(descriptor, place, report, now, given.hours).clean()
    except OSError as error:
        report.problem(str(given.homes), error.strerror)
        status = 1
    print(report)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
