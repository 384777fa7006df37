"""Files, roles and conditions stay small, and roles do not copy one another."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airstrip_tree import Tree, write

Check = Callable[[Tree], Iterator[str]]

# Lines of a file at most, by pattern; the first that fits counts.
LINES = {
    "roles/*/tasks/main.yml": 40,
    "roles/*/tasks/*.yml": 150,
    "roles/*/handlers/*.yml": 120,
    # HAProxy of Debian reads one file.
    "roles/haproxy/templates/haproxy.cfg.j2": 140,
    "roles/*/templates/*": 120,
    "roles/*/defaults/**/*.yml": 150,
    "playbooks/**/*.yml": 60,
    "site.yml": 60,
}
COLUMNS = 120
CONDITIONS = 3
# Share of task and handler lines that may lie in a window of six lines which occurs twice once roles are named alike.
COPIED_SHARE = 0.10
WINDOW = 6

THIN_ROLE = {"tasks", "defaults", "meta", "README.md"}
THIN_ROLE_TASK_LINES = 20


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def is_thin(tree: Tree, role: str) -> bool:
    """Tell whether a role does no more than to apply a verb of another one."""
    tasks = tree.tasks(role)
    return bool(tasks) and all(
        task.module == "ansible.builtin.import_role" and task.arguments["name"] != role for task in tasks
    )


def files_are_short(tree: Tree) -> Iterator[str]:
    seen: set[Path] = set()
    for pattern, limit in LINES.items():
        for path in tree.files(pattern):
            if path not in seen and len(lines_of(path)) > limit:
                yield f"{tree.place(path)}: {len(lines_of(path))} lines, {limit} at most"
            seen.add(path)


def lines_are_narrow(tree: Tree) -> Iterator[str]:
    # One line of a template may become one line of a file, which can be longer than ours.
    for path in tree.files("*.yml", "playbooks/**/*.yml", "inventory/**/*.yml", "roles/**/*.yml", "roles/*/README.md"):
        for number, line in enumerate(lines_of(path)):
            if len(line) > COLUMNS and not line.startswith("|"):
                yield f"{tree.place(path, number)}: {len(line)} columns, {COLUMNS} at most"


def thin_roles_are_thin(tree: Tree) -> Iterator[str]:
    for role in filter(lambda role: is_thin(tree, role), tree.roles):
        for path in (tree.root / "roles" / role).iterdir():
            if path.name not in THIN_ROLE:
                yield f"{tree.place(path)}: a role that applies a verb of another one has no {path.name}"
        for path in tree.files(f"roles/{role}/tasks/*.yml"):
            if len(lines_of(path)) > THIN_ROLE_TASK_LINES:
                yield f"{tree.place(path)}: {len(lines_of(path))} lines, {THIN_ROLE_TASK_LINES} at most"


def playbooks_only_apply(tree: Tree) -> Iterator[str]:
    for path in tree.playbooks:
        for play in tree.plays(path):
            imports = {"import_playbook", "ansible.builtin.import_playbook"} & set(play)
            if path.name == "site.yml" and not imports:
                yield f"{tree.place(path)}: contains only imports of playbooks"
            if not imports and ("roles" in play) == ("tasks" in play):
                yield f"{tree.place(path)}: {play.get('name')}: a play has either roles or tasks"
            if not imports and "any_errors_fatal" not in play:
                yield f"{tree.place(path)}: {play.get('name')}: a play says any_errors_fatal"
        for task in tree.play_tasks(path):
            if task.module == "ansible.builtin.set_fact":
                yield f"{task.place}: playbooks set no facts"


def conditions_are_few(tree: Tree) -> Iterator[str]:
    for task in tree.calls:
        if len(task.listed("when")) > CONDITIONS:
            yield f"{task.place}: more than {CONDITIONS} conditions; name them in a variable of vars/"
        for condition in task.listed("when"):
            # Within parentheses an `and` cannot be a line of its own.
            if " and " in re.sub(r"\([^()]*\)", "", str(condition)):
                yield f"{task.place}: conditions stand one in a line, as a list"


def booleans_are_converted(tree: Tree) -> Iterator[str]:
    """A flag given by `-e flag=false` is a string, which is true, and no condition at all in Ansible 2.19."""
    flags = "|".join(name for name, option in tree.all_options.items() if option.get("type") == "bool")
    if not flags:
        return
    read = re.compile(rf"(?:\b(?:if|and|or|not|when:)\s+|^\s*-\s+|\(\s*)({flags})\b(?!\s*\|\s*bool\b)(?!\s*:)")
    for path in tree.files("roles/*/tasks/*", "roles/*/handlers/*", "roles/*/vars/**/*.yml", "roles/*/templates/*"):
        for number, line in enumerate(lines_of(path)):
            if match := read.search(line):
                yield f"{tree.place(path, number)}: {match[1]} without `| bool`"


def variables_have_no_second_default(tree: Tree) -> Iterator[str]:
    names = "|".join(sorted(tree.all_options, key=len, reverse=True))
    if not names:
        return
    read = re.compile(rf"\b({names})\s*\|\s*(?:default|d)\((?!omit\b)")
    for path in tree.files("roles/*/tasks/*", "roles/*/handlers/*", "roles/*/vars/**/*.yml", "roles/*/templates/*"):
        for number, line in enumerate(lines_of(path)):
            if match := read.search(line):
                yield f"{tree.place(path, number)}: {match[1]} has its default in defaults/"


def variable_files_differ(tree: Tree) -> Iterator[str]:
    by_text: defaultdict[str, list[str]] = defaultdict(list)
    for path in tree.files("roles/*/vars/**/*.yml", "roles/*/defaults/**/*.yml"):
        by_text[path.read_text(encoding="utf-8")].append(tree.place(path))
    yield from (f"{', '.join(places)}: equal" for places in by_text.values() if len(places) > 1)


def significant(tree: Tree, role: str) -> Iterator[list[str]]:
    """Yield the lines of each task and handler file without comments, and with the role's name replaced."""
    for path in tree.files(f"roles/{role}/tasks/*.yml", f"roles/{role}/handlers/*.yml"):
        stripped = (line.strip() for line in lines_of(path))
        yield [line.replace(role, "X") for line in stripped if line and not line.startswith(("#", "---"))]


def copied_share(tree: Tree) -> float:
    """Return the share of lines in windows that occur twice, after each role's name has become the same."""
    files = [lines for role in tree.roles for lines in significant(tree, role)]
    windows: Counter[tuple[str, ...]] = Counter(
        tuple(lines[start : start + WINDOW]) for lines in files for start in range(len(lines) - WINDOW + 1)
    )
    copied = sum(
        any(
            windows[tuple(lines[start : start + WINDOW])] > 1
            for start in range(max(0, index - WINDOW + 1), min(index, len(lines) - WINDOW) + 1)
        )
        for lines in files
        for index in range(len(lines))
    )
    return copied / max(1, sum(map(len, files)))


def roles_are_not_copies(tree: Tree) -> Iterator[str]:
    if (share := copied_share(tree)) > COPIED_SHARE:
        yield f"roles: {share:.0%} of the task lines are copies, {COPIED_SHARE:.0%} at most"


CHECKS: list[Check] = [
    files_are_short,
    lines_are_narrow,
    thin_roles_are_thin,
    playbooks_only_apply,
    conditions_are_few,
    booleans_are_converted,
    variables_have_no_second_default,
    variable_files_differ,
    roles_are_not_copies,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


def test_every_component_has_a_thin_role() -> None:
    tree = Tree()
    thin = {role for role in tree.roles if is_thin(tree, role)}
    programs = {path.stem for path in tree.files("registry/*.yml") if "airflow" in tree.load(path)}
    assert thin == {f"airflow_{component}" for component in programs}


TASKS = "roles/web/tasks/main.yml"
SPECS = {"roles/web/meta/argument_specs.yml": "argument_specs:\n  main:\n    options:\n      web_on: {type: bool}\n"}
SEVEN = "".join(f"- name: Do web {number}\n" for number in range(7))


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (files_are_short, {TASKS: "#\n" * 41}, "41 lines, 40 at most"),
        (files_are_short, {"roles/web/defaults/main/a.yml": "#\n" * 151}, "151 lines, 150 at most"),
        (lines_are_narrow, {TASKS: "#" * 121}, "121 columns"),
        (
            thin_roles_are_thin,
            {TASKS: "- ansible.builtin.import_role: {name: airflow}\n", "roles/web/vars/main.yml": ""},
            "has no vars",
        ),
        (
            thin_roles_are_thin,
            {TASKS: "- ansible.builtin.import_role: {name: airflow}\n" + 20 * "#\n"},
            "21 lines, 20 at most",
        ),
        (playbooks_only_apply, {"site.yml": "- any_errors_fatal: true\n  roles: [web]\n"}, "only imports"),
        (playbooks_only_apply, {"playbooks/a.yml": "- any_errors_fatal: true\n"}, "either roles or tasks"),
        (playbooks_only_apply, {"playbooks/a.yml": "- roles: [web]\n"}, "says any_errors_fatal"),
        (
            playbooks_only_apply,
            {"playbooks/a.yml": "- any_errors_fatal: true\n  tasks:\n    - ansible.builtin.set_fact: {a: 1}\n"},
            "set no facts",
        ),
        (conditions_are_few, {TASKS: "- ansible.builtin.fail:\n  when: [a, b, c, d]\n"}, "more than 3"),
        (conditions_are_few, {TASKS: "- ansible.builtin.fail:\n  when: a is defined and b\n"}, "one in a line"),
        (booleans_are_converted, {TASKS: "- ansible.builtin.fail:\n  when: web_on\n", **SPECS}, "web_on without"),
        (booleans_are_converted, {TASKS: "- when:\n    - web_on\n", **SPECS}, "web_on without"),
        (
            booleans_are_converted,
            {"roles/web/vars/main.yml": "a: {{ 1 if web_on else 2 }}\n", **SPECS},
            "web_on without",
        ),
        (booleans_are_converted, {"roles/web/templates/a": "{% if not web_on %}\n", **SPECS}, "web_on without"),
        (variables_have_no_second_default, {TASKS: "- a: {{ web_on | default(true) }}\n", **SPECS}, "in defaults/"),
        (variable_files_differ, {"roles/a/vars/x.yml": "a: 1\n", "roles/b/vars/y.yml": "a: 1\n"}, "equal"),
        (roles_are_not_copies, {TASKS: SEVEN, "roles/app/tasks/main.yml": SEVEN.replace("web", "app")}, "100% of"),
    ],
)
def test_a_breach_is_found(check: Check, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == 1
    assert message in found[0]
