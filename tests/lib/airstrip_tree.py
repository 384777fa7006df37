"""The project's files as the tests of its house style read them: roles, specs, defaults, tasks and playbooks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from ansible.playbook.task import Task as AnsibleTask

# A template that an expression renders.
RENDERED = re.compile(r"(?:lookup|query)\('airstrip_template',\s+'([^']+)'")
PROJECT = Path(__file__).resolve().parents[2]

_KEYWORDS = frozenset(AnsibleTask.fattributes) | {"action", "local_action", "block", "rescue", "always"}
_BLOCKS = ("block", "rescue", "always")
_NAME = re.compile(r"^(?P<comment># )?(?P<name>[a-z][a-z0-9_]*):(?: |$)")


@dataclass(frozen=True)
class Default:
    """A variable of a defaults file; one that is commented out has no value."""

    name: str
    comment: str
    commented_out: bool
    value: Any
    place: str


@dataclass(frozen=True)
class Task:
    """A task, block or handler as it is written, without those inside of it."""

    keys: dict[str, Any]
    text: str
    comment: str
    place: str
    children: list[Task] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name, or the empty string."""
        return str(self.keys.get("name", ""))

    @property
    def module(self) -> str:
        """The action it calls as it is written; `block` for a block."""
        if "block" in self.keys:
            return "block"
        return next((key for key in self.keys if key not in _KEYWORDS and not key.startswith("with_")), "")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its action; those of the free form stand under `_raw`."""
        value = self.keys.get(self.module)
        return value if isinstance(value, dict) else {"_raw": value}

    def listed(self, key: str) -> list[Any]:
        """Return a keyword's value as a list: of none, of the one, or of all."""
        value = self.keys.get(key)
        return value if isinstance(value, list) else [] if value is None else [value]


def _comment_above(lines: list[str], index: int) -> str:
    """Return the comment directly above a line, as one string without its marks."""
    found: list[str] = []
    while index > 0 and lines[index - 1].lstrip().startswith("#"):
        index -= 1
        found.insert(0, lines[index].lstrip().removeprefix("#").strip())
    return " ".join(found)


def _own_text(lines: list[str], start: int, end: int) -> str:
    """Return lines without what follows the last of their own: blank lines and the next task's comment."""
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return "\n".join(lines[start:end])


class Tree:
    """A directory with roles, playbooks and inventories.

    Files are named in messages by their path below `root`.
    """

    def __init__(self, root: Path = PROJECT) -> None:
        self.root = root
        self._loaded: dict[Path, Any] = {}

    def files(self, *patterns: str) -> list[Path]:
        """Return the files that match any of the patterns, sorted."""
        return sorted({path for pattern in patterns for path in self.root.glob(pattern) if path.is_file()})

    def place(self, path: Path, line: int | None = None) -> str:
        """Return how a message names a file, or a line of it (counted from 0)."""
        relative = path.relative_to(self.root).as_posix()
        return relative if line is None else f"{relative}:{line + 1}"

    def load(self, path: Path) -> Any:
        """Return the content of a YAML file."""
        if path not in self._loaded:
            # The one in C: the same, and ten times as fast.
            self._loaded[path] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return self._loaded[path]

    @cached_property
    def site_variables(self) -> set[str]:
        """Names of the site's variables."""
        path = self.root / "registry" / "site.yml"
        return {*self.load(path)} if path.exists() else set()

    @cached_property
    def asked(self) -> set[str]:
        """Names that the first comment of a playbook has as what is given to it by `-e`, before what they are."""
        heads = [path.read_text(encoding="utf-8").partition("\n- ")[0] for path in self.files("playbooks/*.yml")]
        rows = [row for head in heads for row in re.findall(r"^#   (\w+(?:, \w+)*)  ", head, re.MULTILINE)]
        return {name for row in rows for name in row.split(", ")}

    @cached_property
    def lookup_options(self) -> set[str]:
        """Names of the variables that give options to lookups."""
        texts = [path.read_text(encoding="utf-8") for path in self.files("lookup_plugins/*.py")]
        return {name for text in texts for name in re.findall(r"^ +- name: (\w+)$", text, re.MULTILINE)}

    @cached_property
    def roles(self) -> list[str]:
        """Names of the roles."""
        return sorted(path.name for path in self.root.glob("roles/*") if path.is_dir())

    def specs(self, role: str) -> dict[str, dict[str, Any]]:
        """Return a role's entry points, each with its options by name."""
        path = self.root / "roles" / role / "meta" / "argument_specs.yml"
        entries = self.load(path)["argument_specs"] if path.exists() else {}
        return {name: entry.get("options") or {} for name, entry in entries.items()}

    def options(self, role: str) -> dict[str, dict[str, Any]]:
        """Return the options of all entry points of a role; of one that is in several, the first."""
        found: dict[str, dict[str, Any]] = {}
        for options in self.specs(role).values():
            found = {**options, **found}
        return found

    @cached_property
    def all_options(self) -> dict[str, dict[str, Any]]:
        """The options of all roles."""
        return {name: option for role in self.roles for name, option in self.options(role).items()}

    def defaults(self, role: str) -> list[Default]:
        """Return the variables in a role's defaults files, those that are commented out included."""
        found: list[Default] = []
        for path in self.files(f"roles/{role}/defaults/main.yml", f"roles/{role}/defaults/main/*.yml"):
            values = self.load(path) or {}
            lines = path.read_text(encoding="utf-8").splitlines()
            for index, line in enumerate(lines):
                match = _NAME.match(line)
                if not match or (match["comment"] and not match["name"].startswith(f"{role}_")):
                    continue
                found.append(
                    Default(
                        name=match["name"],
                        comment=_comment_above(lines, index),
                        commented_out=bool(match["comment"]),
                        value=None if match["comment"] else values[match["name"]],
                        place=self.place(path, index),
                    )
                )
        return found

    def variables(self, role: str) -> dict[str, Any]:
        """Return the variables in a role's vars files."""
        found: dict[str, Any] = {}
        for path in self.files(f"roles/{role}/vars/main.yml", f"roles/{role}/vars/main/*.yml"):
            found.update(self.load(path) or {})
        return found

    def entries(self, role: str, task: Task) -> list[dict[str, Any]]:
        """Return the entries of a task with `file_set`: those of the lists in vars files that it names, too.

        A part that is computed is an entry without a path, with its expression as `content`.
        """
        value = task.arguments.get("entries") if task.module == "file_set" else []
        if not isinstance(value, str):
            return list(value or [])
        found: list[dict[str, Any]] = []
        variables = self.variables(role)
        for name in re.findall(r"\b__\w+", value):
            content = variables.get(name, name)
            parts = content if isinstance(content, list) else [content]
            found += [part if isinstance(part, dict) else {"content": str(part)} for part in parts]
        return found

    def templates_in(self, role: str, text: str) -> list[Path]:
        """Return a role's templates that an expression renders."""
        names = RENDERED.findall(text)
        return [path for name in names for path in self.files(f"roles/{role}/templates/{name}")]

    def tasks_of(self, path: Path) -> list[Task]:
        """Return the tasks of one file, each block followed by those inside of it."""
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        if not isinstance(node, yaml.SequenceNode):
            return []
        lines = text.splitlines()
        return [found for task in self._read(path, lines, node) for found in (task, *_descendants(task))]

    def _read(self, path: Path, lines: list[str], sequence: yaml.SequenceNode) -> Iterator[Task]:
        for node in sequence.value:
            keys = _construct(node)
            start = node.start_mark.line
            yield Task(
                keys={key: value for key, value in keys.items() if key not in _BLOCKS}
                | dict.fromkeys([key for key in _BLOCKS if key in keys]),
                text=_own_text(lines, start, min(node.end_mark.line, len(lines))),
                comment=_comment_above(lines, start),
                place=self.place(path, start),
                children=[
                    child
                    for key, value in node.value
                    if key.value in _BLOCKS
                    for child in self._read(path, lines, value)
                ],
            )

    def tasks(self, role: str) -> list[Task]:
        """Return the tasks in all task files of a role."""
        return [task for path in self.files(f"roles/{role}/tasks/*.yml") for task in self.tasks_of(path)]

    def handlers(self, role: str) -> list[Task]:
        """Return a role's handlers."""
        return [task for path in self.files(f"roles/{role}/handlers/*.yml") for task in self.tasks_of(path)]

    @cached_property
    def playbooks(self) -> list[Path]:
        """`site.yml`, the playbooks, and the parts of which these consist."""
        return self.files("site.yml", "playbooks/*.yml", "playbooks/parts/*.yml")

    def plays(self, path: Path) -> list[dict[str, Any]]:
        """Return the plays and imports of a playbook."""
        return self.load(path) or []

    def play_tasks(self, path: Path) -> list[Task]:
        """Return the tasks that stand in a playbook's own plays."""
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        lines = text.splitlines()
        found = [
            task
            for play in (node.value if isinstance(node, yaml.SequenceNode) else [])
            for key, value in play.value
            if key.value in ("pre_tasks", "tasks", "post_tasks", "handlers")
            for task in self._read(path, lines, value)
        ]
        return [inner for task in found for inner in (task, *_descendants(task))]

    @cached_property
    def calls(self) -> list[Task]:
        """Every task of a role or a playbook."""
        return [
            *(task for role in self.roles for task in [*self.tasks(role), *self.handlers(role)]),
            *(task for path in self.playbooks for task in self.play_tasks(path)),
        ]

    @cached_property
    def passed(self) -> set[str]:
        """The parameters that calls of roles pass: options without a default of their own."""
        return {
            name
            for task in self.calls
            if task.module.endswith(("import_role", "include_role"))
            for name in task.keys.get("vars") or {}
        }


def _construct(node: yaml.Node) -> dict[str, Any]:
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    return dict(value) if isinstance(value, Mapping) else {}


def _descendants(task: Task) -> Iterator[Task]:
    for child in task.children:
        yield child
        yield from _descendants(child)


def write(root: Path, files: Mapping[str, str]) -> Tree:
    """Return a tree of files by path: small ones, with which a test shows that a check finds what it is there for."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Tree(root)
