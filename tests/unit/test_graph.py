"""The ways of the project's variables, from a task to where they begin, are short, declared and each role's own."""

from pathlib import Path

import pytest
from airstrip_graph import Graph, long_values
from airstrip_tree import Tree, write

# A way of more variables than this, nobody follows.
STEPS = 5
# What the tree has of each. A number may only fall: who makes it smaller writes that one here.
FOUND = {
    "tasks whose longest way has more than 5 steps": 0,
    "steps of the longest way": 5,
    "private names that another role reads": 0,
    "names of the inventory that no role documents": 2,
    "facts and results that shadow a variable": 0,
    "templated values of more than 200 characters": 0,
    "lines of the wiring": 120,
    # Some 460 of them are of the eleven roles of monitoring, logs, proof of life and scaling, and 80 of those of
    # programs beside Airflow.
    "lines of roles' vars": 1722,
}

TREE = {
    "inventory/wiring.yml": "base_a: '{{ hostvars[groups.all[0]].base_b }}'\nbase_b: '{{ base_c }}'\nbase_c: 1\n",
    "roles/base/meta/argument_specs.yml": "argument_specs: {main: {options: {base_a: {type: str}}}}\n",
    "roles/base/defaults/main.yml": "base_a: ''\n",
    "roles/base/vars/main.yml": """\
__base_d: "{{ lookup('airstrip_template', 'a.j2', template_vars={'base_t': 1}) }}"
""",
    "roles/base/templates/a.j2": "{{ base_a }}{{ base_t }}\n",
    "roles/base/tasks/main.yml": """\
- name: Write
  file_set: {entries: "{{ __base_d }}"}
  when: __base_seen is changed
  register: __base_seen
""",
    "playbooks/base.yml": "- hosts: all\n  roles: [{role: base}]\n",
}


def graph(root: Path, **more: str) -> Graph:
    """Return the graph of the small tree, with what is added to its files."""
    files = {path: next((text for name, text in more.items() if name in path), text) for path, text in TREE.items()}
    return Graph(write(root, files))


def lines(tree: Tree, *patterns: str) -> int:
    """Count the lines of files that say something."""
    texts = [path.read_text(encoding="utf-8") for path in tree.files(*patterns)]
    found = [line.strip() for text in texts for line in text.splitlines()]
    return len([line for line in found if line and not line.startswith("#")])


def test_ways_are_as_short_as_they_were() -> None:
    tree = Tree()
    found = Graph(tree)
    ways = [way for _, way in found.ways_of_tasks()]
    counts = (
        len([way for way in ways if len(way) > STEPS]),
        max(map(len, ways)),
        len(found.trespasses()),
        len(found.undocumented()),
        len(found.shadowed()),
        len(long_values(tree)),
        lines(tree, "inventory/wiring.yml"),
        lines(tree, "roles/*/vars/**/*.yml"),
    )
    assert dict(zip(FOUND, counts, strict=True)) == FOUND


def test_every_name_is_declared() -> None:
    assert Graph(Tree()).undeclared() == []


def test_no_way_is_a_circle() -> None:
    assert [way for _, way in Graph(Tree()).ways_of_tasks() if way and "circle" in way[-1]] == []


def test_a_way_leads_over_hosts_and_templates(tmp_path: Path) -> None:
    ways = dict(graph(tmp_path).ways_of_tasks())
    assert ways["roles/base/tasks/main.yml:1"] == ("__base_d", "@a.j2", "base_a", "base_b", "base_c")


def test_what_a_task_registers_is_a_beginning(tmp_path: Path) -> None:
    found = graph(tmp_path, vars="__base_d: '{{ __base_seen.stdout }}'\n")
    assert dict(found.ways_of_tasks())["roles/base/tasks/main.yml:1"] == ("__base_d", "__base_seen")


def test_a_circle_is_found(tmp_path: Path) -> None:
    found = graph(tmp_path, wiring="base_a: '{{ base_b }}'\nbase_b: '{{ base_a }}'\n")
    assert dict(found.ways_of_tasks())["roles/base/tasks/main.yml:1"][-1] == "base_a (circle)"


def test_a_role_s_own_variables_come_before_the_inventory_s(tmp_path: Path) -> None:
    found = graph(tmp_path, vars="__base_d: '{{ base_a }}'\nbase_a: '{{ __base_seen }}'\n")
    assert found.way("__base_d", "base") == ("__base_d", "base_a", "__base_seen")
    assert found.way("base_a", "other") == ("base_a", "base_b", "base_c")


@pytest.mark.parametrize(
    ("check", "more", "expected"),
    [
        ("undeclared", {}, []),
        ("undeclared", {"playbooks": "- hosts: '{{ base_x }}'\n"}, ["base_x in playbooks/base.yml"]),
        ("trespasses", {}, []),
        ("trespasses", {"wiring": "base_c: '{{ __base_d }}'\n"}, ["__base_d in inventory/wiring.yml"]),
        ("undocumented", {}, ["base_b", "base_c"]),
        ("shadowed", {}, []),
        ("shadowed", {"wiring": "__base_seen: 1\n"}, ["__base_seen"]),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, check: str, more: dict[str, str], expected: list[str]) -> None:
    assert getattr(graph(tmp_path, **more), check)() == expected


def test_long_values_are_found(tmp_path: Path) -> None:
    tree = graph(tmp_path, wiring=f"base_c: [{{base: '{{{{ base_a }}}}{'x' * 200}'}}, {'y' * 300}]\n").tree
    assert long_values(tree) == ["212 characters in inventory/wiring.yml"]
