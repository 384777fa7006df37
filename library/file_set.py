#!/usr/bin/python
"""Module: a set of directories, files and links, kept in one call."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils.directory_access import (
    group_name,
    user_name,
    who_may_write,
)

DOCUMENTATION = r"""
module: file_set
short_description: A set of directories, files and symbolic links
description:
  - Keeps directories, files and links in one call. A loop over C(copy), C(file) or C(template) costs a round trip
    for each of them, in every run.
  - Entries are handled in their order, so a directory stands before what lies in it. All of them are looked at before
    anything is changed. Each is replaced at once, and has its owner and mode by then.
  - A directory's missing parents are made, too, with the mode 0755; those of files and links have to be there.
  - As root it goes only through directories that are root's and that nobody else may write, except those with the
    sticky bit. What lies in the directory of another user is written as that user, by C(become_user).
  - A link on the way is followed only where nobody but root and who runs the module can have put it.
author: Airstrip
options:
  entries:
    description: What to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: "Absolute path; this or O(entries[].paths).", type: path}
      paths:
        description: Absolute paths of what is alike in everything else; there may be none.
        type: list
        elements: path
      state:
        description:
          - What is at the path. A directory may be a link to one. V(absent) removes files and links; nothing removes
            a directory, or puts one kind in the place of another, except a file in that of a link.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content: {description: "The whole content; needed if O(entries[].state=file).", type: str}
      src:
        description: "Target of the link, which has to exist; needed if O(entries[].state=link)."
        type: str
      owner: {description: Name or number of the owner; by default O(owner)., type: str}
      group: {description: Name or number of the group; by default O(group)., type: str}
      mode: {description: "Four octal digits, by default O(mode). A link has none.", type: str}
      secret: {description: Whether the diff only says of the content that it differs., type: bool, default: false}
      follow: {description: Whether a link at the path stays and its target is written., type: bool, default: false}
      exclusive:
        description: Whether files and links in the directory that are no entries are removed.
        type: bool
        default: false
  owner: {description: Owner of entries that name none., type: str}
  group: {description: Group of entries that name none., type: str}
  mode: {description: Mode of entries that name none., type: str}
attributes:
  check_mode: {support: full, description: "Users, parents and targets of links may be missing: they may come."}
  diff_mode: {support: full}
notes:
  - "The content is an argument: a task with secret content needs C(no_log)."
"""

EXAMPLES = r"""
- name: Write the configuration
  file_set:
    owner: root
    group: web
    mode: "0640"
    entries:
      - {path: /etc/web, state: directory, mode: "0750"}
      - {path: /etc/web/web.conf, content: "{{ lookup('airstrip_template', 'web.conf.j2') }}"}
      - {path: /etc/web/current, state: link, src: /srv/web}
  notify: Restart the web server
"""

RETURN = r"""
changed_paths: {description: "Paths of the entries that changed, as they were given.", type: list, returned: always}
created_paths: {description: "Those of them where there was nothing before.", type: list, returned: always}
"""

# What may be in the place of each state; everything else is refused.
_MAY_BE_THERE = {
    "file": ("absent", "file", "link"),
    "directory": ("absent", "directory"),
    "link": ("absent", "link"),
    "absent": ("absent", "file", "link"),
}
_NAME = {"owner": user_name, "group": group_name}
_NUMBER = {"owner": lambda name: pwd.getpwnam(name).pw_uid, "group": lambda name: grp.getgrnam(name).gr_gid}


def _number(kind: str, given: str) -> int:
    """Return the number of a user or group. Raises KeyError if there is none of the name."""
    return int(given) if given.isdecimal() else _NUMBER[kind](given)


# For a directory on the way: neither through a link nor to read it.
_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
# For what is there: a pipe would wait for its other end.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# Links on the way at most, as for the kernel.
_LINKS = 40


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")] or ["."]


def _owners(words: dict[str, str]) -> tuple[int, int]:
    """Return the numbers of owner and group; -1 leaves what is there."""
    owner, group = (_number(kind, words[kind]) if kind in words else -1 for kind in ("owner", "group"))
    return owner, group


def _explained(error: OSError, words: Mapping[str, str]) -> str:
    """Return what is wrong, and what to do where the system refuses root: on network storage, mostly."""
    text = error.strerror or ""
    refused = error.errno in (errno.EACCES, errno.EPERM) and text == os.strerror(error.errno)
    if not refused or os.geteuid() != 0:
        return text
    wanted = []
    for kind in sorted(_NUMBER.keys() & words, reverse=True):
        with suppress(KeyError):  # in check mode they may be yet to come
            wanted.append(f"the {kind} {_number(kind, words[kind])}")
    wanted += [f"the mode {words['mode']}"] if "mode" in words else []
    return (
        f"{text}, to root itself, as on network storage that takes root for nobody (root_squash). Make it on the "
        f"storage's server, with {', '.join(wanted) or 'root as its owner'}, or export that with no_root_squash"
    )


def _set_attributes(descriptor: int, words: dict[str, str]) -> None:
    os.fchown(descriptor, *_owners(words))
    # Last, because a new owner takes away the bits for set-uid and set-gid.
    if "mode" in words:
        os.fchmod(descriptor, int(words["mode"], 8))


class Spot:
    """Where an entry is: an open directory, and the names from there on, of which all but the last have to be made.

    Who may write a directory decides where a path through it leads, at any moment. So the way is gone by descriptors,
    and root takes no step that someone else could turn. `coming` tells of directories who else may write them when this
    entry's turn has come; `was_open` that someone may until then who may not any more.
    """

    def __init__(self, path: str, *, follow: bool, coming: Mapping[str, str]) -> None:
        self._follow_last, self._coming, self._links = follow, coming, 0
        self._names = _names(path)
        self._above, self._directory = Path("/"), os.open("/", _PASS)
        self.info: os.stat_result | None = None
        self.was_open = False
        try:
            while self._step():
                pass
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the directory."""
        os.close(self._directory)

    @property
    def path(self) -> str:
        """The path without links."""
        return os.path.normpath(self._above.joinpath(*self._names))

    @property
    def missing(self) -> str:
        """The first directory on the way that is not there; empty if all are."""
        return str(self._above / self._names[0]) if len(self._names) > 1 else ""

    @property
    def kind(self) -> str:
        """What is there: one of the states, or `special file`."""
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
        return kinds.get(stat.S_IFMT(self.info.st_mode), "special file") if self.info else "absent"

    @property
    def has_other_names(self) -> bool:
        """Whether a file has other names, too."""
        return self.info is not None and self.kind == "file" and self.info.st_nlink > 1

    def found(self) -> dict[str, str]:
        """Return what is there, in the words of an entry."""
        found = {"state": self.kind}
        if self.info:
            found |= {"owner": user_name(self.info.st_uid), "group": group_name(self.info.st_gid)}
            found["mode"] = f"{stat.S_IMODE(self.info.st_mode):04o}"
        if self.kind == "link":
            found["src"] = os.readlink(self._names[-1], dir_fd=self._directory)
        return found

    def read(self) -> bytes:
        """Return the content of the file."""
        with os.fdopen(self._open(), "rb") as file:
            return file.read()

    def set_attributes(self, words: dict[str, str]) -> None:
        """Give what is there its owner, group and mode."""
        if self.kind == "link":
            os.chown(self._names[-1], *_owners(words), dir_fd=self._directory, follow_symlinks=False)
        else:
            descriptor = self._open()
            try:
                _set_attributes(descriptor, words)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Remove the file or link."""
        os.unlink(self._names[-1], dir_fd=self._directory)

    def put(self, entry: Entry, words: dict[str, str]) -> None:
        """Put an entry there at once, with its owner and mode."""
        if self.missing and entry.state != "directory":
            raise FileNotFoundError(errno.ENOENT, f"there is no directory {self.missing}: make it before")
        while self.missing:
            os.mkdir(self._names[0], dir_fd=self._directory)
            self._enter(os.open(self._names[0], _LOOK | os.O_DIRECTORY, dir_fd=self._directory))
            os.fchmod(self._directory, 0o755)
        # Not by atomic_move: it gives a new file the mode 0644 at first, and an old one's owner to its successor.
        new = f".file_set.{secrets.token_hex(8)}"
        try:
            self._make(new, entry, words)
            os.rename(new, self._names[0], src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            with suppress(OSError):
                (os.rmdir if entry.state == "directory" else os.unlink)(new, dir_fd=self._directory)
            raise

    def _make(self, name: str, entry: Entry, words: dict[str, str]) -> None:
        if entry.state == "link":
            os.symlink(entry.words["src"], name, dir_fd=self._directory)
            os.chown(name, *_owners(words), dir_fd=self._directory, follow_symlinks=False)
            return
        # Without a mode, what the umask leaves.
        kept_back = 0o077 if "mode" in words else 0
        if entry.state == "directory":
            os.mkdir(name, 0o777 & ~kept_back, dir_fd=self._directory)
            descriptor = os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=self._directory)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(name, flags, 0o666 & ~kept_back, dir_fd=self._directory)
        try:
            if entry.state == "file":
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    file.write((entry.content or "").encode())
            _set_attributes(descriptor, words)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        """Open what is there: the very thing that was looked at."""
        descriptor = os.open(self._names[-1], _LOOK, dir_fd=self._directory)
        if self.info and os.path.samestat(os.fstat(descriptor), self.info):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.ESTALE, "something else has come to be there meanwhile: run this again")

    def _step(self) -> bool:
        """Go on by one name; return whether there is another step to go."""
        name, is_last, others = self._names[0], len(self._names) == 1, self._who_else()
        try:
            self.info = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            self.info = None
        if self.info and self.kind == "link" and (self._follow_last or not is_last):
            if not others and self.info.st_uid not in (0, os.geteuid()):
                others = user_name(self.info.st_uid)
            self._follow(others)
            return True
        self._judge(self._above, others)
        if is_last:
            return False
        if self.kind == "directory":
            self._enter(os.open(name, _PASS, dir_fd=self._directory))
            return True
        self.info = None
        for path in Path(self.path).parents:
            self._judge(path, self._coming.get(str(path), ""))
        return False

    def _who_else(self) -> str:
        """Return who else may write the directory when the entry's turn has come."""
        info = os.fstat(self._directory)
        now = who_may_write(info.st_uid, info.st_gid, info.st_mode)
        then = self._coming.get(str(self._above), now)
        self.was_open = self.was_open or bool(now and not then)
        return then

    def _judge(self, directory: Path, others: str) -> None:
        """Refuse, as root, to go through a directory of others."""
        if others and os.geteuid() == 0:
            remedy = "Run this as that user (become_user), or give the directory to root alone (chown root, chmod go-w)"
            raise PermissionError(errno.EACCES, f"{others} may write {directory}, and so lead root anywhere. {remedy}")

    def _follow(self, others: str) -> None:
        """Put what the link leads to in its place among the names."""
        link = self._above / self._names[0]
        if others:
            text = f"{link} is a link that {others} can have put there. See where it leads, and remove it"
            raise PermissionError(errno.EACCES, text)
        self._links += 1
        if self._links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(self._names[0], dir_fd=self._directory)
        self._names[:1] = _names(target)
        if target.startswith("/"):
            os.close(self._directory)
            self._above, self._directory = Path("/"), os.open("/", _PASS)

    def _enter(self, descriptor: int) -> None:
        """Go into the directory of the first name, which was opened."""
        os.close(self._directory)
        self._above = Path(os.path.normpath(self._above / self._names.pop(0)))
        self._directory = descriptor


@dataclass(frozen=True)
class Entry:
    """One entry. `follow` tells whether a link at its path stays."""

    path: str
    follow: bool
    state: str
    content: str | None
    secret: bool
    words: dict[str, str]

    @classmethod
    def of(cls, given: dict[str, Any], defaults: dict[str, Any]) -> Entry:
        """Make one of the module's arguments."""
        state = given["state"]
        words = {name: given[name] or defaults[name] for name in ("owner", "group", "mode")} | {"src": given["src"]}
        unused = {"link": ("mode",), "absent": ("owner", "group", "mode", "src")}.get(state, ("src",))
        return cls(
            path=os.path.normpath(given["path"]),
            follow=state == "directory" or given["follow"],
            state=state,
            content=given["content"],
            secret=given["secret"],
            words={name: value for name, value in words.items() if value and name not in unused},
        )

    @classmethod
    def absent(cls, path: str) -> Entry:
        """Make one that removes what is at a path."""
        return cls(path=path, follow=False, state="absent", content=None, secret=False, words={})

    def others(self, info: os.stat_result | None) -> str:
        """Return who else may write the directory that it makes of what is there."""
        owner, group, mode = (info.st_uid, info.st_gid, info.st_mode) if info else (os.geteuid(), os.getegid(), 0o755)
        try:
            owner = _number("owner", self.words.get("owner", str(owner)))
            group = _number("group", self.words.get("group", str(group)))
        except KeyError:  # in check mode they may be yet to come
            name = self.words.get("owner", "root")
            return name if name != "root" else ""
        return who_may_write(owner, group, int(self.words["mode"], 8) if "mode" in self.words else mode)

    def flaws(self, check_mode: bool) -> Iterator[str]:
        """Yield what is wrong with the entry itself."""
        if not self.path.startswith("/"):
            yield "not an absolute path"
        if self.state == "file" and self.content is None:
            yield "a file needs content, which may be empty"
        if self.state == "link" and "src" not in self.words:
            yield "a link needs src, its target"
        if not re.fullmatch("[0-7]{4}", self.words.get("mode", "0644")):
            yield f'the mode {self.words["mode"]} is not four octal digits: write it like "0644", in quotes'
        for kind in ("owner", "group"):
            try:
                _number(kind, self.words.get(kind, "0"))
            except KeyError:
                if not check_mode:
                    yield f"there is no {kind} {self.words[kind]}: create it before"

    def obstacles(self, spot: Spot, check_mode: bool, earlier: set[str]) -> Iterator[str]:
        """Yield why the entry cannot be where it shall be, after the `earlier` paths are there."""
        if spot.kind not in _MAY_BE_THERE[self.state]:
            yield f"a {spot.kind} is in the place of {self.state}: look at it, and move it away"
        above = Path(spot.path).parent
        is_made = self.state == "directory" and not os.path.lexists(spot.missing)
        if spot.missing and not (is_made or check_mode or self.state == "absent" or str(above) in earlier):
            yield f"there is no directory {spot.missing}: make it before"
        target = os.path.normpath(above / self.words.get("src", ""))
        if self.state == "link" and not (check_mode or target in earlier or Path(target).exists()):
            yield f"the link's target {target} does not exist"


class FileSet:
    """The entries, as they are and as they shall be."""

    def __init__(self, module: AnsibleModule) -> None:
        self._check_mode: bool = module.check_mode
        self._asked_for_diff: bool = module._diff
        self._entries = [
            Entry.of({**given, "path": path}, module.params)
            for given in module.params["entries"]
            for path in ([given["path"]] if given["paths"] is None else given["paths"])
        ]
        self._entries += [Entry.absent(path) for path in self._left(module.params["entries"])]
        self._diff: list[dict[str, Any]] = []
        # Who else may write the directories that come, by their paths.
        self._coming: dict[str, str] = {}
        # Entries where there is nothing, and those in directories that someone else may write, until now.
        self._missing: set[str] = set()
        self._open: set[str] = set()

    def _left(self, given: list[dict[str, Any]]) -> list[str]:
        """Return the paths of what is in directories of which the entries are all there shall be."""
        kept = {entry.path for entry in self._entries}
        directories = [Path(os.path.normpath(entry["path"])) for entry in given if entry["exclusive"]]
        found = [path for directory in directories if directory.is_dir() for path in sorted(directory.iterdir())]
        return [str(path) for path in found if str(path) not in kept and (path.is_symlink() or not path.is_dir())]

    def problems(self) -> Iterator[str]:
        """Yield why the entries cannot be kept, each with its path."""
        earlier: set[str] = set()
        for entry in self._entries:
            wrong = [*entry.flaws(self._check_mode)]
            if entry.path in earlier:
                wrong.append("two entries for one path: remove one")
            try:
                yield from (f"{entry.path}: {text}" for text in wrong or self._obstacles(entry, earlier))
            except OSError as error:
                yield f"{entry.path}: {_explained(error, entry.words)}"
            earlier.add(entry.path)

    def _obstacles(self, entry: Entry, earlier: set[str]) -> Iterator[str]:
        """Yield what is in the way of an entry, and remember what there is."""
        with closing(Spot(entry.path, follow=entry.follow, coming=self._coming)) as spot:
            yield from entry.obstacles(spot, self._check_mode, earlier)
            earlier.add(spot.path)
            if entry.state == "directory":
                self._coming[spot.path] = entry.others(spot.info)
            if spot.kind == "absent":
                self._missing.add(entry.path)
            if spot.was_open:
                self._open.add(entry.path)

    def keep(self) -> dict[str, Any]:
        """Make the entries what they shall be; return the module's result. Raises OSError with the entry's path."""
        changed = [entry.path for entry in self._entries if self._keep(entry)]
        created = [path for path in changed if path in self._missing]
        result = {"changed": bool(changed), "changed_paths": changed, "created_paths": created}
        # Ansible shows what it gets, even of a task with `diff: false`.
        return result | ({"diff": self._diff} if self._asked_for_diff else {})

    def _keep(self, entry: Entry) -> bool:
        # What is to come stays away in check mode only.
        coming = self._coming if self._check_mode else {}
        try:
            with closing(Spot(entry.path, follow=entry.follow, coming=coming)) as spot:
                return self._keep_at(spot, entry)
        except OSError as error:
            raise OSError(error.errno, _explained(error, entry.words), entry.path) from error

    def _keep_at(self, spot: Spot, entry: Entry) -> bool:
        found, wanted = spot.found(), {"state": entry.state, **entry.words}
        for kind in ("owner", "group"):
            # What has two names has the first; in check mode, one that does not exist yet keeps its own.
            if kind in wanted and (wanted[kind].isdecimal() or not self._check_mode):
                wanted[kind] = _NAME[kind](_number(kind, wanted[kind]))
        after = {name: value for name, value in wanted.items() if found.get(name) != value}
        before = {name: found[name] for name in after if name in found}
        if after:
            self._show(f"{entry.path} (attributes)", before, after)
        new_content = entry.state == "file" and self._content_differs(entry, spot)
        # Who has owned a file may have it open, and its other names may be anyone's.
        new_file = entry.state == "file" and bool(after) and (spot.has_other_names or "owner" in after)
        if self._check_mode or not (after or new_content):
            pass
        elif entry.state == "absent":
            spot.remove()
        elif new_content or new_file or {"state", "src"} & set(after):
            # What no one asks for stays as it is.
            spot.put(entry, {**found, **entry.words} if found["state"] == entry.state else entry.words)
        else:
            spot.set_attributes(entry.words)
        return bool(after or new_content)

    def _content_differs(self, entry: Entry, spot: Spot) -> bool:
        # Where someone else could put another name of a file, it is not read: the diff would show it.
        is_foreign = spot.has_other_names and entry.path in self._open
        before = spot.read() if spot.kind == "file" and not is_foreign else b""
        after = (entry.content or "").encode()
        if before != after and entry.secret:
            self._show(entry.path, "a secret\n", "another secret\n")
        elif before != after:
            self._show(entry.path, before.decode(errors="replace"), after.decode())
        return before != after or is_foreign

    def _show(self, header: str, before: Any, after: Any) -> None:
        self._diff.append({"before_header": header, "after_header": header, "before": before, "after": after})


def main() -> None:
    """Run the module."""
    attributes: dict[str, Any] = {"owner": {"type": "str"}, "group": {"type": "str"}, "mode": {"type": "str"}}
    entry = attributes | {
        "path": {"type": "path"},
        "paths": {"type": "list", "elements": "path"},
        "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
        # With no_log here, each word that some content consists of would be cut out of every result.
        "content": {"type": "str", "no_log": False},
        "src": {"type": "str"},
        "secret": {"type": "bool", "default": False, "no_log": False},
        "follow": {"type": "bool", "default": False},
        "exclusive": {"type": "bool", "default": False},
    }
    either = {"mutually_exclusive": [("path", "paths")], "required_one_of": [("path", "paths")]}
    entries = {"type": "list", "elements": "dict", "required": True, "options": entry, **either}
    module = AnsibleModule(argument_spec=attributes | {"entries": entries}, supports_check_mode=True)
    try:
        file_set = FileSet(module)
        if problems := list(file_set.problems()):
            module.fail_json(msg="\n".join(problems))
        module.exit_json(**file_set.keep())
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
