"""Every notification has its handler, and every file that a process reads notifies, or says why not."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airstrip_tree import Tree, write

Check = Callable[[Tree], Iterator[str]]

FILES = ("ansible.builtin.template", "ansible.builtin.copy", "ansible.builtin.blockinfile", "file_set")
SERVICE = "ansible.builtin.systemd_service"


def notifications_have_handlers(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        names = {handler.name for handler in tree.handlers(role)}
        for task in [*tree.tasks(role), *tree.handlers(role)]:
            for name in task.listed("notify"):
                if name not in names:
                    yield f"{task.place}: {role} has no handler of the name {name!r}"


def handlers_are_notified(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        notified = {name for task in [*tree.tasks(role), *tree.handlers(role)] for name in task.listed("notify")}
        for handler in tree.handlers(role):
            if handler.name not in notified:
                yield f"{handler.place}: nothing notifies {handler.name!r}"
            if "listen" in handler.keys:
                yield f"{handler.place}: notifications name handlers; there is no listen"


def notifications_are_in_order(tree: Tree) -> Iterator[str]:
    """Handlers run in the order in which they are defined, whatever the order of the notification."""
    for role in tree.roles:
        order = {handler.name: index for index, handler in enumerate(tree.handlers(role))}
        for task in tree.tasks(role):
            names = [name for name in task.listed("notify") if name in order]
            if names != sorted(names, key=lambda name: order[name]):
                yield f"{task.place}: handlers run in another order than this one"


def handlers_of_verbs_carry_their_parameter(tree: Tree) -> Iterator[str]:
    """A role that is applied several times in a play runs a handler of one name once, for the last of them."""
    for role in tree.roles:
        if "main" not in tree.specs(role):
            for handler in tree.handlers(role):
                if "{{" not in handler.name:
                    yield f"{handler.place}: {role} is applied several times; the name needs the parameter"


def handlers_stand_where_the_service_is(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        if tree.handlers(role) and not any(task.module == SERVICE for task in tree.tasks(role)):
            yield f"roles/{role}/handlers: handlers in a role that owns no service"


def restarts_read_new_units(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        if not tree.files(f"roles/{role}/templates/*.service.j2"):
            continue
        for handler in tree.handlers(role):
            if handler.arguments.get("state") == "restarted" and handler.arguments.get("daemon_reload") is not True:
                yield f"{handler.place}: {role} writes units; the restart needs daemon_reload"


def written_files_notify(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for task in tree.tasks(role):
            if task.module in FILES and "notify" not in task.keys and not task.comment and " # " not in task.text:
                yield f"{task.place}: writes a file, notifies nobody, and no comment says why"


def notifying_commands_say_when_they_change(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for task in tree.tasks(role):
            if (
                "notify" in task.keys
                and task.module.endswith((".command", ".shell"))
                and not re.search(r"changed_when: (?!true$|false$)", task.text, re.MULTILINE)
            ):
                yield f"{task.place}: notifies whether or not something changed"


CHECKS: list[Check] = [
    notifications_have_handlers,
    handlers_are_notified,
    notifications_are_in_order,
    handlers_of_verbs_carry_their_parameter,
    handlers_stand_where_the_service_is,
    restarts_read_new_units,
    written_files_notify,
    notifying_commands_say_when_they_change,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


TASKS = "roles/web/tasks/main.yml"
HANDLERS = "roles/web/handlers/main.yml"
SPECS = {"roles/web/meta/argument_specs.yml": "argument_specs:\n  main: {}\n"}
RESTART = f"- name: Restart\n  {SERVICE}:\n    state: restarted\n"
WRITE = "- name: Write\n  ansible.builtin.template:\n    src: a.j2\n"


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (notifications_have_handlers, {TASKS: f"{WRITE}  notify: [Restart, Reload]\n", HANDLERS: RESTART}, "'Reload'"),
        (handlers_are_notified, {TASKS: WRITE, HANDLERS: RESTART}, "nothing notifies 'Restart'"),
        (
            handlers_are_notified,
            {TASKS: f"{WRITE}  notify: Restart\n", HANDLERS: f"{RESTART}  listen: topic\n"},
            "there is no listen",
        ),
        (
            notifications_are_in_order,
            {TASKS: f"{WRITE}  notify: [Wait, Restart]\n", HANDLERS: f"{RESTART}- name: Wait\n"},
            "in another order",
        ),
        (handlers_of_verbs_carry_their_parameter, {HANDLERS: RESTART}, "needs the parameter"),
        (handlers_stand_where_the_service_is, {TASKS: WRITE, HANDLERS: RESTART, **SPECS}, "owns no service"),
        (restarts_read_new_units, {HANDLERS: RESTART, "roles/web/templates/a.service.j2": ""}, "daemon_reload"),
        (written_files_notify, {TASKS: WRITE}, "no comment says why"),
        (written_files_notify, {TASKS: "- name: Write\n  file_set:\n    entries: []\n"}, "no comment says why"),
        (
            notifying_commands_say_when_they_change,
            {TASKS: "- ansible.builtin.command: a\n  changed_when: true\n  notify: Restart\n"},
            "whether or not",
        ),
    ],
)
def test_a_breach_is_found(check: Check, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == 1
    assert message in found[0]
