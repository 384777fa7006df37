"""A copy of the project with two components whose names nobody knows: one entry, one role and one group each.

They are those of tests/e2e/throwaway/tree, under names that are made up: `throwaway`, a leader among several hosts with
TLS, and `elsewhere`, which is outside of the inventory.
"""

from __future__ import annotations

import random
import shutil
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from airstrip_tree import PROJECT

_TEMPLATE = PROJECT / "tests" / "e2e" / "throwaway" / "tree"
# What is made beside the project, and secrets.
_IGNORED = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".ansible", "__pycache__", ".*_cache", ".hypothesis", ".secrets*", ".certificates",
    ".backups", ".facts.json", ".run.lock",
)  # fmt: skip


def made_up() -> str:
    """Return a name that stands nowhere."""
    return "".join(random.choices(string.ascii_lowercase, k=12))  # noqa: S311 - a name, and no secret


@dataclass(frozen=True)
class Throwaway:
    """The copy in `root`, with the names of the component inside and of the one outside."""

    root: Path
    inside: str
    outside: str

    @classmethod
    def copied(cls, root: Path) -> Throwaway:
        """Copy the project to a directory that is not there yet."""
        shutil.copytree(PROJECT, root, symlinks=True, ignore=_IGNORED)
        return cls(root, made_up(), made_up())

    def _named(self, text: str) -> str:
        return text.replace("throwaway", self.inside).replace("elsewhere", self.outside)

    @property
    def _files(self) -> list[tuple[Path, Path]]:
        """The files of both, in the project and in the copy."""
        found = sorted(path for path in _TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return [(path, self.root / self._named(path.relative_to(_TEMPLATE).as_posix())) for path in found]

    def add(self, inventory: str, hosts: Sequence[str], **variables: object) -> None:
        """Add both, the one inside to hosts of an inventory, whose variables get their prefix here."""
        for source, target in self._files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._named(source.read_text(encoding="utf-8")), encoding="utf-8")
        children = {self.inside: {"hosts": dict.fromkeys(hosts)}, self.outside: {}}
        given = {self._named(f"site_{name}"): value for name, value in variables.items()}
        content = {"all": {"children": children, "vars": given}}
        # Beside the inventory's own file.
        (self.root / "inventory" / inventory / "throwaway.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def remove(self, inventory: str) -> None:
        """Remove both."""
        (self.root / "inventory" / inventory / "throwaway.yml").unlink()
        for _, target in self._files:
            target.unlink()
        for name in (self.inside, self.outside):
            shutil.rmtree(self.root / "roles" / name)
