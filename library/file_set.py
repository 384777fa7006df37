#!/usr/bin/python
"""Module: a set of directories, files and links, kept in one call."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: file_set
short_description: A set of directories, files and symbolic links
description:
  - Keeps directories, files and links in one call. A loop over C(copy), C(file) or C(template) costs a round trip
    for each of them, in every run.
  - Entries are handled in their order, so a directory stands before what lies in it. All of them are looked at before
    anything is changed. Each is replaced at once, and has its owner and mode by then.
  - A directory's missing parents are made, too, with the mode 0755; those of files and links have to be there.
author: Airstrip
options:
  entries:
    description: What to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
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
_NUMBER = {"owner": lambda name: pwd.getpwnam(name).pw_uid, "group": lambda name: grp.getgrnam(name).gr_gid}
_NAME = {"owner": lambda number: pwd.getpwuid(number).pw_name, "group": lambda number: grp.getgrgid(number).gr_name}


def _number(kind: str, given: str) -> int:
    """Return the number of a user or group. Raises KeyError if there is none of the name."""
    return int(given) if given.isdecimal() else _NUMBER[kind](given)


def _name(kind: str, number: int) -> str:
    try:
        return _NAME[kind](number)
    except KeyError:
        return str(number)


def _kind(path: str) -> str:
    """Return what is at a path: one of the states, or `special file`."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "special file")


def _found(path: str) -> dict[str, str]:
    """Return what is at a path, in the words of an entry."""
    found = {"state": _kind(path)}
    if found["state"] != "absent":
        info = os.lstat(path)
        found |= {"owner": _name("owner", info.st_uid), "group": _name("group", info.st_gid)}
        found["mode"] = f"{stat.S_IMODE(info.st_mode):04o}"
    if found["state"] == "link":
        found["src"] = str(Path(path).readlink())
    return found


@dataclass(frozen=True)
class Entry:
    """One entry. `place` is where it is written: behind a link at its path, if that is to stay."""

    path: str
    place: str
    state: str
    content: str | None
    secret: bool
    words: dict[str, str]

    @classmethod
    def of(cls, given: dict[str, Any], defaults: dict[str, Any]) -> Entry:
        """Make one of the module's arguments."""
        path, state = os.path.normpath(given["path"]), given["state"]
        words = {name: given[name] or defaults[name] for name in ("owner", "group", "mode")} | {"src": given["src"]}
        unused = {"link": ("mode",), "absent": ("owner", "group", "mode", "src")}.get(state, ("src",))
        return cls(
            path=path,
            place=os.path.realpath(path) if state == "directory" or given["follow"] else path,
            state=state,
            content=given["content"],
            secret=given["secret"],
            words={name: value for name, value in words.items() if value and name not in unused},
        )

    @property
    def target(self) -> str:
        """The path that a link leads to."""
        return os.path.normpath(Path(self.place).parent / self.words["src"])

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

    def obstacles(self, check_mode: bool, earlier: set[str]) -> Iterator[str]:
        """Yield why the entry cannot be where it shall be, after the `earlier` paths are there."""
        if (kind := _kind(self.place)) not in _MAY_BE_THERE[self.state]:
            yield f"a {kind} is in the place of {self.state}: look at it, and move it away"
        parents = Path(self.place).parents
        parent = next(path for path in parents if path.exists()) if self.state == "directory" else parents[0]
        if not (check_mode or self.state == "absent" or str(parents[0]) in earlier or parent.is_dir()):
            yield f"there is no directory {parent}: make it before"
        if self.state == "link" and not (check_mode or self.target in earlier or Path(self.target).exists()):
            yield f"the link's target {self.target} does not exist"


class FileSet:
    """The entries, as they are and as they shall be."""

    def __init__(self, module: AnsibleModule) -> None:
        self._check_mode: bool = module.check_mode
        self._asked_for_diff: bool = module._diff
        self._entries = [Entry.of(given, module.params) for given in module.params["entries"]]
        self._diff: list[dict[str, Any]] = []

    def problems(self) -> Iterator[str]:
        """Yield why the entries cannot be kept, each with its path."""
        earlier: set[str] = set()
        for entry in self._entries:
            wrong = [*entry.flaws(self._check_mode)]
            if entry.path in earlier:
                wrong.append("two entries for one path: remove one")
            yield from (f"{entry.path}: {text}" for text in wrong or entry.obstacles(self._check_mode, earlier))
            earlier |= {entry.path, entry.place}

    def keep(self) -> dict[str, Any]:
        """Make the entries what they shall be; return the module's result. Raises OSError."""
        missing = {entry.path for entry in self._entries if _kind(entry.place) == "absent"}
        changed = [entry.path for entry in self._entries if self._keep(entry)]
        created = [path for path in changed if path in missing]
        result = {"changed": bool(changed), "changed_paths": changed, "created_paths": created}
        # Ansible shows what it gets, even of a task with `diff: false`.
        return result | ({"diff": self._diff} if self._asked_for_diff else {})

    def _keep(self, entry: Entry) -> bool:
        found, wanted = _found(entry.place), {"state": entry.state, **entry.words}
        for kind in ("owner", "group"):
            # What has two names has the first; in check mode, one that does not exist yet keeps its own.
            if kind in wanted and (wanted[kind].isdecimal() or not self._check_mode):
                wanted[kind] = _name(kind, _number(kind, wanted[kind]))
        after = {name: value for name, value in wanted.items() if found.get(name) != value}
        before = {name: found[name] for name in after if name in found}
        if after:
            self._show(f"{entry.path} (attributes)", before, after)
        new_content = entry.state == "file" and self._content_differs(entry, found["state"])
        if self._check_mode or not (after or new_content):
            pass
        elif entry.state == "absent":
            Path(entry.place).unlink()
        elif new_content or {"state", "src"} & set(after):
            # What no one asks for stays as it is.
            self._replace(entry, {**found, **entry.words} if found["state"] == entry.state else entry.words)
        else:
            self._set_attributes(entry.place, entry.words)
        return bool(after or new_content)

    def _content_differs(self, entry: Entry, state: str) -> bool:
        before = Path(entry.place).read_bytes() if state == "file" else b""
        after = (entry.content or "").encode()
        if before != after and entry.secret:
            self._show(entry.path, "a secret\n", "another secret\n")
        elif before != after:
            self._show(entry.path, before.decode(errors="replace"), after.decode())
        return before != after

    def _show(self, header: str, before: Any, after: Any) -> None:
        self._diff.append({"before_header": header, "after_header": header, "before": before, "after": after})

    def _replace(self, entry: Entry, words: dict[str, str]) -> None:
        for parent in reversed(Path(entry.place).parents):
            if entry.state == "directory" and not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)
        # Not by atomic_move: it gives a new file the mode 0644 at first, and an old one's owner to its successor.
        # In a directory that only root may enter, what is new gets its owner and mode before anyone can open it.
        with TemporaryDirectory(prefix=".file_set.", dir=Path(entry.place).parent) as directory:
            new = Path(directory, "new")
            if entry.state == "directory":
                new.mkdir()
            elif entry.state == "link":
                new.symlink_to(entry.words["src"])
            else:
                new.write_bytes((entry.content or "").encode())
            self._set_attributes(str(new), words)
            new.replace(entry.place)

    def _set_attributes(self, path: str, words: dict[str, str]) -> None:
        owner, group = (_number(kind, words[kind]) if kind in words else -1 for kind in ("owner", "group"))
        os.chown(path, owner, group, follow_symlinks=False)
        # Last, because a new owner takes away the bits for set-uid and set-gid.
        if "mode" in words and not Path(path).is_symlink():
            Path(path).chmod(int(words["mode"], 8))


def main() -> None:
    """Run the module."""
    attributes: dict[str, Any] = {"owner": {"type": "str"}, "group": {"type": "str"}, "mode": {"type": "str"}}
    entry = attributes | {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
        # With no_log here, each word that some content consists of would be cut out of every result.
        "content": {"type": "str", "no_log": False},
        "src": {"type": "str"},
        "secret": {"type": "bool", "default": False, "no_log": False},
        "follow": {"type": "bool", "default": False},
    }
    entries = {"type": "list", "elements": "dict", "required": True, "options": entry}
    module = AnsibleModule(argument_spec=attributes | {"entries": entries}, supports_check_mode=True)
    try:
        file_set = FileSet(module)
        if problems := list(file_set.problems()):
            module.fail_json(msg="\n".join(problems))
        module.exit_json(**file_set.keep())
    except OSError as error:
        module.fail_json(msg=f"{error.filename2 or error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
