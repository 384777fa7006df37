"""Tasks call modules, roles and files as CONTRIBUTING.md says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airstrip_graph import strings
from airstrip_tree import Task, Tree, write

Check = Callable[[Tree], Iterator[str]]

ROLE_CALLS = ("ansible.builtin.import_role", "ansible.builtin.include_role")
DYNAMIC = ("ansible.builtin.include_role", "ansible.builtin.include_tasks")
COMMANDS = ("ansible.builtin.command", "ansible.builtin.shell")

# Keywords whose order is fixed; `when` also stands second, where it decides about the whole task.
ORDER = ("name", "<module>", "register", "loop", "loop_control", "notify", "no_log")

# What has no place in a task, and what to do instead.
FORBIDDEN = {
    r"\bignore_errors:": "say in failed_when what is no failure",
    r"\bvalidate_certs: *(false|no)\b": "trust the authority by base_ca_certificates",
    r"\bwith_\w+:": "use loop",
    r"\bansible\.builtin\.lineinfile:": "write the whole file from a template",
    r"\bansible\.builtin\.pause:": "wait for what you wait for",
    r"(^|[\s\"'=])/(var/)?tmp/": "use a directory of the role's own",
    r"\b(sudo|su) -": "use become",
}


def role_calls(tree: Tree) -> Iterator[Task]:
    return (task for task in tree.calls if task.module in ROLE_CALLS)


def entry_points_are_called_by_name(tree: Tree) -> Iterator[str]:
    """With an ending, Ansible finds the file but not its argument spec, and validates nothing."""
    for task in role_calls(tree):
        if re.search(r"\.ya?ml$", str(task.arguments.get("tasks_from", ""))):
            yield f"{task.place}: tasks_from with an ending switches the validation of arguments off"


def called_roles_are_specified(tree: Tree) -> Iterator[str]:
    # Those that the registry names are validated when they run.
    for task in (task for task in role_calls(tree) if "{{" not in str(task.arguments.get("name"))):
        role, entry = task.arguments.get("name"), task.arguments.get("tasks_from", "main")
        specs = tree.specs(str(role))
        if entry not in specs:
            yield f"{task.place}: {role} has no argument spec for the entry point {entry}"
        given = {name for name in task.keys.get("vars") or {} if not name.startswith("ansible_")}
        for name in given - set(specs.get(entry, {})):
            yield f"{task.place}: {name} is no option of the entry point {entry} of {role}"
    for path in tree.playbooks:
        for play in tree.plays(path):
            for role in play.get("roles") or []:
                name = role if isinstance(role, str) else role["role"]
                if "main" not in tree.specs(name):
                    yield f"{tree.place(path)}: {name} has no argument spec for the entry point main"


def task_files_are_entry_points_or_used(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        used = {
            str(argument)
            for task in [*tree.tasks(role), *tree.handlers(role)]
            if task.module in ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
            for argument in task.arguments.values()
        }
        patterns = [re.sub(r"\\{\\{.*?\\}\\}", ".+", re.escape(name)) for name in used]
        for path in tree.files(f"roles/{role}/tasks/*.yml"):
            if path.stem not in tree.specs(role) and not any(re.fullmatch(name, path.name) for name in patterns):
                yield f"{tree.place(path)}: neither an entry point with an argument spec nor used by another file"


def entry_points_have_task_files(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for entry in tree.specs(role):
            if not (tree.root / "roles" / role / "tasks" / f"{entry}.yml").exists():
                yield f"roles/{role}: an argument spec for {entry}, but no tasks/{entry}.yml"


def dynamic_includes_say_why(tree: Tree) -> Iterator[str]:
    for task in tree.calls:
        if task.module in DYNAMIC and not task.comment and " # " not in task.text:
            yield f"{task.place}: an include (not an import) without a comment that says why"


def roles_have_no_tags(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for task in [*tree.tasks(role), *tree.handlers(role)]:
            if task.keys.get("tags", "always") not in ("always", ["always"]):
                yield f"{task.place}: tags stand in playbooks, not in roles"


def playbooks_tag_each_role(tree: Tree) -> Iterator[str]:
    for path in tree.playbooks:
        for play in tree.plays(path):
            for role in play.get("roles") or []:
                if isinstance(role, str) or role["role"] not in (role.get("tags") or []):
                    yield f"{tree.place(path)}: a role without the tag of its name"
        for task in tree.play_tasks(path):
            if task.module in ROLE_CALLS and not any(_tags(tag, task.arguments["name"]) for tag in task.listed("tags")):
                yield f"{task.place}: a role without the tag of its name"


def _tags(tag: str, role: str) -> bool:
    """Say whether a tag is that of a role; those of roles that the registry names come from there, too."""
    return tag.startswith("{{ lookup('registry', 'roles'") if "{{" in role else tag == role


def loops_name_their_variable(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for task in [*tree.tasks(role), *tree.handlers(role)]:
            if "loop" in task.keys:
                name = (task.keys.get("loop_control") or {}).get("loop_var", "item")
                if not name.startswith(f"{role}_"):
                    yield f"{task.place}: the loop variable is {name}; it begins with {role}_"


def commands_say_why(tree: Tree) -> Iterator[str]:
    for task in tree.calls:
        if task.module not in COMMANDS:
            continue
        if not task.comment and " # " not in task.text:
            yield f"{task.place}: a command without a comment that says why there is no module for it"
        if not {"changed_when"} & set(task.keys) and not {"creates", "removes"} & set(task.arguments):
            yield f"{task.place}: a command that does not say when it changed something"
        if task.module == "ansible.builtin.shell" and "pipefail" not in task.text:
            yield f"{task.place}: a shell without pipefail"


def keys_are_in_order(tree: Tree) -> Iterator[str]:
    for task in tree.calls:
        # What holds for a whole block stands before it.
        keys = ["<module>" if key == task.module else key for key in task.keys if key != "block"]
        ordered = [key for key in keys if key in ORDER]
        if ordered != sorted(ordered, key=ORDER.index):
            yield f"{task.place}: the order is {', '.join(ORDER)}"


def names_of_a_file_share_a_prefix(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        prefixes: dict[str, Path] = {}
        for path in tree.files(f"roles/{role}/tasks/*.yml"):
            tasks = tree.tasks_of(path)
            found = {task.name.partition(" | ")[0] if " | " in task.name else "" for task in tasks}
            if path.name == "main.yml":
                if found - {""}:
                    yield f"{tree.place(path)}: names in main.yml have no prefix"
            elif len(found) != 1 or "" in found:
                yield f"{tree.place(path)}: names do not share one prefix as in 'Install | Do this'"
            elif (prefix := found.pop()) in prefixes:
                yield f"{tree.place(path)}: {prefixes[prefix].name} has the prefix {prefix} too"
            else:
                prefixes[prefix] = path


def nothing_forbidden(tree: Tree) -> Iterator[str]:
    for task in tree.calls:
        for pattern, remedy in FORBIDDEN.items():
            if re.search(pattern, task.text, re.MULTILINE):
                yield f"{task.place}: {re.search(pattern, task.text, re.MULTILINE)[0].strip()!r}: {remedy}"  # type: ignore[index]


def facts_are_set_once_for_the_site(tree: Tree) -> Iterator[str]:
    """What a host alone needs is a variable; a fact is for what all hosts together cost to work out."""
    for task in tree.calls:
        if task.module == "ansible.builtin.set_fact" and "run_once: true" not in task.text:
            yield f"{task.place}: set_fact without run_once; define the variable in vars/"


def roles_name_no_groups(tree: Tree) -> Iterator[str]:
    for path in tree.files(
        "roles/*/tasks/*",
        "roles/*/handlers/*",
        "roles/*/vars/**/*.yml",
        "roles/*/defaults/**/*.yml",
        "roles/*/templates/*",
    ):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if re.search(r"\bgroups(\[['\"](?!all\b)|\.(?!all\b)[a-z]|\.get\()", line) or "group_names" in line:
                yield f"{tree.place(path, number)}: a role does not name groups; hosts arrive as variables"


CHECKS: list[Check] = [
    entry_points_are_called_by_name,
    called_roles_are_specified,
    task_files_are_entry_points_or_used,
    entry_points_have_task_files,
    dynamic_includes_say_why,
    roles_have_no_tags,
    playbooks_tag_each_role,
    loops_name_their_variable,
    commands_say_why,
    keys_are_in_order,
    names_of_a_file_share_a_prefix,
    nothing_forbidden,
    facts_are_set_once_for_the_site,
    roles_name_no_groups,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


def test_the_shared_role_cannot_be_applied_by_accident() -> None:
    assert "main" not in Tree().specs("airflow")
    assert not (Tree().root / "roles" / "airflow" / "tasks" / "main.yml").exists()


MAIN = "roles/web/tasks/main.yml"
CALL = "- name: Call\n  ansible.builtin.import_role:\n    name: web\n    tasks_from: {}\n"
SPECS = {"roles/web/meta/argument_specs.yml": "argument_specs:\n  run:\n    options:\n      web_a: {type: str}\n"}


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (entry_points_are_called_by_name, {MAIN: CALL.format("run.yml")}, "with an ending"),
        (called_roles_are_specified, {MAIN: CALL.format("ran"), **SPECS}, "entry point ran"),
        (
            called_roles_are_specified,
            {MAIN: CALL.format("run") + "  vars:\n    web_a: 1\n    web_b: 2\n", **SPECS},
            "web_b is no option",
        ),
        (
            called_roles_are_specified,
            {"site.yml": "- hosts: all\n  roles: [{role: web}]\n", **SPECS},
            "entry point main",
        ),
        (task_files_are_entry_points_or_used, {"roles/web/tasks/run.yml": "---\n[]\n"}, "neither an entry"),
        (entry_points_have_task_files, SPECS, "no tasks/run.yml"),
        (dynamic_includes_say_why, {MAIN: "- ansible.builtin.include_tasks: a.yml\n"}, "without a comment"),
        (roles_have_no_tags, {MAIN: "- ansible.builtin.fail:\n  tags: [a]\n"}, "tags stand in playbooks"),
        (playbooks_tag_each_role, {"playbooks/a.yml": "- hosts: all\n  roles: [web]\n"}, "without the tag"),
        (
            playbooks_tag_each_role,
            {"playbooks/a.yml": "- hosts: all\n  tasks:\n    - ansible.builtin.import_role: {name: web}\n"},
            "without the tag",
        ),
        (loops_name_their_variable, {MAIN: "- ansible.builtin.debug:\n  loop: [1]\n"}, "the loop variable is item"),
        (
            commands_say_why,
            {MAIN: "- ansible.builtin.command:\n    cmd: a\n  changed_when: true\n"},
            "no module for it",
        ),
        (commands_say_why, {MAIN: "# Why.\n- ansible.builtin.command:\n    cmd: a\n"}, "when it changed"),
        (
            commands_say_why,
            {MAIN: "# Why.\n- ansible.builtin.shell:\n    cmd: a | b\n    creates: c\n"},
            "without pipefail",
        ),
        (keys_are_in_order, {MAIN: "- name: A\n  ansible.builtin.stat:\n  loop: [1]\n  register: a\n"}, "the order is"),
        (
            keys_are_in_order,
            {MAIN: "- name: A\n  block:\n    - ansible.builtin.stat:\n      name: B\n"},
            "roles/web/tasks/main.yml:3: the order is",
        ),
        (names_of_a_file_share_a_prefix, {MAIN: "- name: Run | A\n"}, "have no prefix"),
        (names_of_a_file_share_a_prefix, {"roles/web/tasks/a.yml": "- name: A | A\n- name: B\n"}, "share one prefix"),
        (
            names_of_a_file_share_a_prefix,
            {"roles/web/tasks/a.yml": "- name: A | A\n", "roles/web/tasks/b.yml": "- name: A | B\n"},
            "a.yml has the prefix A too",
        ),
        (nothing_forbidden, {MAIN: "- ansible.builtin.stat:\n  ignore_errors: true\n"}, "failed_when"),
        (nothing_forbidden, {MAIN: "- ansible.builtin.stat:\n    path: /tmp/a\n"}, "directory of the role's own"),
        (nothing_forbidden, {MAIN: "- ansible.builtin.stat:\n  with_items: [1]\n"}, "use loop"),
        (facts_are_set_once_for_the_site, {MAIN: "- ansible.builtin.set_fact:\n    a: 1\n"}, "without run_once"),
        (roles_name_no_groups, {"roles/web/vars/main.yml": "a: \"{{ groups['web'] }}\"\n"}, "does not name groups"),
    ],
)
def test_a_breach_is_found(check: Check, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == 1
    assert message in found[0]


def test_a_line_end_in_an_expression_is_one() -> None:
    """In a block of YAML, a task's own expression keeps the backslash; in double quotes, YAML makes it a line end."""
    tree = Tree()
    found = [
        f"{tree.place(path)}: {text.strip()[:60]}"
        for path in tree.files("playbooks/**/*.yml", "roles/*/tasks/**/*.yml")
        for text in strings(tree.load(path))
        if re.search(r"\{\{[^}]*'\\n'", text)
    ]
    assert found == []
