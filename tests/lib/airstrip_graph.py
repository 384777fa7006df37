"""Which variable is made of which others: a static graph over the YAML and the templates of the project.

A *definition* is a key of a variables file, of `vars:` of a task or a play, or of `set_fact`, a registered result, or
a template, which the expression that renders it reads. A *reader* is a task, a handler or a play. A *way* leads from a
reader over the definitions that it needs to one that needs no other. What a task registers or sets as a fact is such a
beginning, and so is `site_here`, a host's part of the registered `site`.

A name means what Ansible would take for it where it is read: a role's own tasks and `vars/`, then the inventory, then
the role's `defaults/`, then what others define, be it as a parameter or, which no role should need, for themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from airstrip_render import start
from airstrip_tree import RENDERED, Task, Tree
from jinja2 import nodes

start()  # before anything of a collection is imported: Ansible's own finder comes too late else

from ansible_collections.airstrip.core.plugins.module_utils.site_inputs import wiring  # noqa: E402
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory  # noqa: E402

# Expressions without braces.
_BARE = frozenset({"when", "changed_when", "failed_when", "until", "that", "var"})
# Of Ansible (special variables, `vars`, `lookup` and `omit`), of Jinja, and of template files.
SPECIAL = frozenset(
    {
        "ansible_become", "ansible_check_mode", "ansible_connection", "ansible_diff_mode", "ansible_facts",
        "ansible_failed_result",
        "ansible_failed_task", "ansible_host", "ansible_limit", "ansible_managed", "ansible_play_batch",
        "ansible_play_hosts", "ansible_play_hosts_all", "ansible_playbook_python", "ansible_port",
        "ansible_python_interpreter", "ansible_run_tags", "ansible_skip_tags", "ansible_user", "ansible_version",
        "cycler", "dict", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file",
        "inventory_hostname", "inventory_hostname_short", "joiner", "lipsum", "lookup", "namespace", "now", "omit",
        "play_hosts", "playbook_dir", "q", "query", "range", "role_name", "role_path", "template_path", "undef",
        "vars",
    }
)  # fmt: skip
INVENTORY, PLAY = "inventory", "play"
HERE = "site_here"
_NEAREST = ("task", "vars", INVENTORY, "defaults")


@dataclass(frozen=True)
class Definition:
    """One place that gives a variable its value. `layer` is task, vars, inventory, defaults, play or template."""

    name: str
    owner: str
    layer: str
    place: str
    reads: frozenset[str]


@dataclass(frozen=True)
class Reader:
    """A task, a handler or a play, with the names that it reads."""

    owner: str
    place: str
    reads: frozenset[str]


class _AnyName(dict[str, Any]):
    """All names of filters and tests: Jinja refuses to parse one that it does not know."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return lambda value, *_: value

    def get(self, name: str, *_: Any) -> Any:
        return self[name]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=True)
    environment.filters = _AnyName()
    environment.tests = _AnyName()
    return environment


_JINJA = _environment()


def _of_other_hosts(tree: nodes.Template) -> Iterator[str]:
    """Yield what `hostvars[x].name`, `hostvars[x]['name']` and `map('extract', hostvars, 'name')` read."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case (
                nodes.Getattr(node=nodes.Getitem(node=nodes.Name(name="hostvars")), attr=str() as name)
                | nodes.Getitem(
                    node=nodes.Getitem(node=nodes.Name(name="hostvars")), arg=nodes.Const(value=str() as name)
                )
            ):
                yield name
    for call in tree.find_all(nodes.Filter):
        match [call.name, *call.args]:
            case ["map", nodes.Const(value="extract"), nodes.Name(name="hostvars"), nodes.Const(value=str() as name)]:
                yield name


def names_in(text: str, *, is_bare: bool = False) -> frozenset[str]:
    """Return the variables and templates (`@file`) that a text with braces reads, or a bare expression."""
    source = f"{{{{ {text} }}}}" if is_bare else text
    if "{{" not in source and "{%" not in source:
        return frozenset()
    tree = _JINJA.parse(source)
    # `_` is what a loop throws away.
    found = {*jinja2.meta.find_undeclared_variables(tree), *_of_other_hosts(tree)} - {"_"}
    return frozenset(found | {f"@{name}" for name in RENDERED.findall(source)})


def _given_to_template(text: str) -> set[str]:
    """Return the names that an expression gives to the template that it renders."""
    if "template_vars=" not in text and "each=" not in text:
        return set()
    words = _JINJA.parse(text).find_all(nodes.Keyword)
    given = [word.value for word in words if word.key in ("template_vars", "each")]
    pairs = [pair for value in given if isinstance(value, nodes.Dict) for pair in value.items]
    return {str(pair.key.value) for pair in pairs if isinstance(pair.key, nodes.Const)}


def _names(value: Any, *, is_bare: bool = False) -> Iterator[str]:
    """Yield the names that any YAML value reads."""
    if isinstance(value, str):
        yield from names_in(value, is_bare=is_bare)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _names(key)
            yield from _names(inner, is_bare=is_bare or key in _BARE)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner, is_bare=is_bare)


def strings(value: Any) -> Iterator[str]:
    """Yield the texts in a YAML value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from strings(inner)


def long_values(tree: Tree, columns: int = 200) -> list[str]:
    """Return the templated values in all YAML that are longer, each with its length and its file, the longest first."""
    found = [
        (len(text), tree.place(path))
        for path in tree.files("site.yml", "inventory/**/*.yml", "playbooks/**/*.yml", "roles/**/*.yml")
        if not path.is_symlink()
        for text in strings(tree.load(path))
        if len(text) > columns and ("{{" in text or "{%" in text)
    ]
    return [f"{length} characters in {place}" for length, place in sorted(found, reverse=True)]


def registry_inputs(tree: Tree) -> dict[str, str]:
    """Return what the registry of a tree gives to roles, as the vars plugin does."""
    directory = tree.root / "registry"
    return wiring(*read_directory(directory)) if directory.is_dir() else {}


class Graph:
    """The graph of a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.definitions: dict[str, list[Definition]] = defaultdict(list)
        self.readers: list[Reader] = []
        self.given: set[str] = set()  # to a template, or by a loop
        for path in [path for path in self._inventory_files() if not path.is_symlink()]:
            self._read_values(path, INVENTORY, INVENTORY)
        for name, value in registry_inputs(tree).items():
            self._define(name, INVENTORY, INVENTORY, "registry", value)
        for role in tree.roles:
            self._read_role(role)
        for path in tree.playbooks:
            self._read_playbook(path)

    def _inventory_files(self) -> list[Path]:
        return self.tree.files("inventory/*.yml", "inventory/*/group_vars/**/*.yml")

    def _define(self, name: str, owner: str, layer: str, place: str, value: Any) -> None:
        self.definitions[name].append(Definition(name, owner, layer, place, frozenset(_names(value))))
        self.given |= {given for text in strings(value) for given in _given_to_template(text)}

    def _read_values(self, path: Path, owner: str, layer: str) -> None:
        for name, value in (self.tree.load(path) or {}).items():
            self._define(name, owner, layer, self.tree.place(path), value)

    def _read_role(self, role: str) -> None:
        for layer in ("defaults", "vars"):
            for path in self.tree.files(f"roles/{role}/{layer}/*.yml", f"roles/{role}/{layer}/main/*.yml"):
                self._read_values(path, role, layer)
        for path in self.tree.files(f"roles/{role}/templates/*.j2"):
            reads = names_in(path.read_text(encoding="utf-8"))
            self.definitions[f"@{path.name}"].append(
                Definition(f"@{path.name}", role, "template", self.tree.place(path), reads)
            )
        for task in [*self.tree.tasks(role), *self.tree.handlers(role)]:
            self._read_task(task, role)

    def _read_playbook(self, path: Path) -> None:
        for play in self.tree.plays(path):
            for called in (play, *(role for role in play.get("roles") or [] if isinstance(role, dict))):
                for name, value in (called.get("vars") or {}).items():
                    self._define(name, PLAY, PLAY, self.tree.place(path), value)
            own = {key: value for key, value in play.items() if key not in ("tasks", "handlers", "vars")}
            self.readers.append(Reader(PLAY, self.tree.place(path), frozenset(_names(own))))
        for task in self.tree.play_tasks(path):
            self._read_task(task, PLAY)

    def _read_task(self, task: Task, owner: str) -> None:
        layer = PLAY if owner == PLAY else "task"
        for name, value in (task.keys.get("vars") or {}).items():
            self._define(name, owner, layer, task.place, value)
        if task.module.endswith("set_fact"):
            # As with a result: the value is there from then on, and the task itself is a reader.
            for name in task.arguments:
                self._define(name, owner, layer, task.place, None)
        if registered := task.keys.get("register"):
            self._define(registered, owner, layer, task.place, None)
        control = task.keys.get("loop_control") or {}
        self.given |= {control.get("loop_var", "item"), control.get("index_var", "item")}
        self.given |= {given for text in strings(task.arguments) for given in _given_to_template(text)}
        own = {key: value for key, value in task.keys.items() if key not in ("vars", "block", "rescue", "always")}
        # A parameter of a role is read there; a variable of a task is the task's own.
        more = {} if "import_role" in task.module or "include_role" in task.module else task.keys.get("vars") or {}
        self.readers.append(Reader(owner, task.place, frozenset({*_names(own), *_names(more)})))

    def meaning(self, name: str, owner: str) -> list[Definition]:
        """Return what a name means to a role: definitions between which only a run can choose, or none."""
        found = self.definitions.get(name, [])
        own = {layer: [one for one in found if one.layer == layer and one.owner == owner] for layer in _NEAREST}
        own[INVENTORY] = [one for one in found if one.layer == INVENTORY]
        return next((own[layer] for layer in _NEAREST if own[layer]), None) or found

    def way(self, name: str, owner: str) -> tuple[str, ...]:
        """Return the longest way from a name, as a role reads it, to a beginning; a circle ends with its first name."""
        return self._way(name, owner, ())

    def _way(self, name: str, owner: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if (name, owner) in self._known:
            return self._known[name, owner]
        if name in above:
            return (f"{name} (circle)",)
        ways = [
            self._way(read, one.owner if one.owner != PLAY else owner, (*above, name))
            for one in (() if name == HERE else self.meaning(name, owner))
            for read in one.reads - {name}
            if read in self.definitions or read in self.tree.all_options
        ]
        found = (name, *max(sorted(ways), key=len, default=()))
        if not found[-1].endswith("(circle)"):
            self._known[name, owner] = found
        return found

    @cached_property
    def _known(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {}

    def ways_of_tasks(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the place of each reader with its longest way."""
        return [
            (
                reader.place,
                max(
                    (self.way(name, reader.owner) for name in sorted(reader.reads) if name in self.definitions),
                    key=len,
                    default=(),
                ),
            )
            for reader in self.readers
        ]

    @cached_property
    def read_at(self) -> dict[str, set[tuple[str, str]]]:
        """By name, each owner and place that reads it."""
        found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for definitions in self.definitions.values():
            for one in definitions:
                for name in one.reads:
                    found[name].add((one.owner, one.place))
        for reader in self.readers:
            for name in reader.reads:
                found[name].add((reader.owner, reader.place))
        return found

    def undeclared(self) -> list[str]:
        """Return the names that something reads and nothing defines or documents."""
        known = {*self.definitions, *self.tree.all_options, *self.tree.site_variables, *SPECIAL, *self.given}
        known |= {*self.tree.asked}
        return sorted(f"{name} in {min(self.read_at[name])[1]}" for name in self.read_at if name not in known)

    def trespasses(self) -> list[str]:
        """Return the private names (`__x`) that another than their owner reads, each with the place."""
        return sorted(
            f"{name} in {place}"
            for name, definitions in self.definitions.items()
            if name.startswith("__")
            for owner, place in self.read_at[name]
            if owner not in {one.owner for one in definitions}
        )

    def undocumented(self) -> list[str]:
        """Return the names of the inventory that are no role's or lookup's option and no variable of the site."""
        known = {*self.tree.all_options, *self.tree.site_variables, *self.tree.lookup_options, *SPECIAL, HERE}
        return sorted(
            name
            for name, definitions in self.definitions.items()
            if any(one.layer == INVENTORY for one in definitions)
            if name not in known
        )

    def shadowed(self) -> list[str]:
        """Return the names that are a fact or a result here and a variable of the same name there."""
        return sorted(
            name
            for name, definitions in self.definitions.items()
            if {one.layer for one in definitions} & {"task"}
            and {one.layer for one in definitions} & {INVENTORY, "vars"}
            and name not in SPECIAL
        )
