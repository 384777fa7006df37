"""The argument specs, the defaults and the inventories' wiring say the same."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_registry import registry
from airstrip_tree import PROJECT, Tree, write

Check = Callable[[Tree], Iterator[str]]

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "path": (str,),
}

# Defaults of different roles for one and the same thing on a host.
SAME = [
    ("base_user", "airflow_user", "shared_storage_user"),
    ("base_group", "airflow_group", "shared_storage_group"),
    ("base_user_home", "airflow_home"),
    ("postgresql_port", "airflow_database_port"),
    ("redis_port", "airflow_broker_port"),
    ("redis_airflow_user", "airflow_broker_user"),
    ("smoke_test_directory", "airflow_smoke_test_directory"),
    ("smoke_test_username", "airflow_admin_username"),
    ("haproxy_socket", "airflow_load_balancer_socket"),
    ("haproxy_metrics_address", "keepalived_haproxy_address"),
    ("haproxy_metrics_port", "keepalived_haproxy_port"),
]


# What people declare of Airflow, by Airflow's own words for it.
BY_ITS_WORDS = {f"airflow_{kind}" for kind in ("connections", "pools", "roles", "teams", "users", "variables")}


def is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def conforms(value: Any, kind: str) -> bool:
    """Tell whether a default has a type of the spec; what a template gives is known on a host only."""
    if is_template(value):
        return True
    return isinstance(value, TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))


def prose(text: Any) -> str:
    """Return a description, or a comment, as one line."""
    return " ".join((" ".join(text) if isinstance(text, list) else str(text)).split())


def variables_are_in_specs_and_defaults(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        specified, defaults = tree.options(role), {default.name for default in tree.defaults(role)}
        for name in sorted(set(specified) - defaults - tree.passed):
            yield f"{name}: in the argument specs of {role}, but neither in its defaults nor passed by a call"
        for name in sorted(defaults - set(specified)):
            yield f"{name}: in the defaults of {role}, but not in its argument specs"


def variables_are_named_after_their_role(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for name in {*tree.options(role), *(default.name for default in tree.defaults(role))}:
            if not name.startswith(f"{role}_") and not (role == "airflow_resources" and name in BY_ITS_WORDS):
                yield f"{name}: a variable of {role} begins with {role}_"


def default_values_are_equal(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        options = tree.options(role)
        for default in tree.defaults(role):
            option = options.get(default.name, {})
            if default.commented_out and "default" in option:
                yield f"{default.place}: {default.name} is commented out, but has a default in the argument specs"
            elif not default.commented_out and (
                "default" not in option
                or option["default"] != default.value
                or type(option["default"]) is not type(default.value)
            ):
                yield f"{default.place}: {default.name} has another default in the argument specs"


def entry_points_agree(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        first = tree.options(role)
        for entry, options in tree.specs(role).items():
            for name, option in options.items():
                if option != first[name]:
                    yield f"{name}: the entry point {entry} of {role} specifies it differently from another one"


def options_are_typed(tree: Tree) -> Iterator[str]:
    for name, option in tree.all_options.items():
        kind = option.get("type")
        if kind not in TYPES:
            yield f"{name}: its type is {kind}"
            continue
        if kind == "list" and option.get("elements") not in TYPES:
            yield f"{name}: a list without the type of its elements"
        values = [option["default"]] if "default" in option else []
        if not all(conforms(value, kind) for value in values):
            yield f"{name}: its default is no {kind}"
        elif kind == "list":
            elements = [element for value in values if isinstance(value, list) for element in value]
            if not all(conforms(element, str(option.get("elements"))) for element in elements):
                yield f"{name}: an element of its default is no {option.get('elements')}"
        if "choices" in option and any(value not in option["choices"] for value in values if not is_template(value)):
            yield f"{name}: its default is none of its choices"


def variables_are_described(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        options = tree.options(role)
        for default in tree.defaults(role):
            if not default.comment:
                yield f"{default.place}: {default.name} has no comment"
            elif default.name in options and prose(options[default.name]["description"]) != prose(default.comment):
                yield f"{default.place}: the comment of {default.name} and its description differ"
        for entry in tree.specs(role):
            if not any(option.get("description") is None for option in tree.specs(role)[entry].values()):
                continue
            yield f"{role}: an option of {entry} has no description"


def what_is_commented_out_is_required(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        options = tree.options(role)
        for default in tree.defaults(role):
            required = options.get(default.name, {}).get("required", False)
            if required and not default.commented_out:
                yield f"{default.place}: {default.name} is required and has a default"
            if default.commented_out and required and not default.comment.endswith("Required."):
                yield f"{default.place}: the comment of {default.name} does not end in 'Required.'"
            if default.commented_out and not required and "Required with " not in default.comment:
                yield f"{default.place}: {default.name} is commented out; its comment does not say when it is required"


def wiring_has_the_roles_values(tree: Tree) -> Iterator[str]:
    defaults = {default.name: default for role in tree.roles for default in tree.defaults(role)}
    for path in tree.files("inventory/wiring.yml"):
        for name, value in tree.load(path).items():
            default = defaults.get(name)
            if default and not is_template(value) and (default.commented_out or default.value != value):
                yield f"{tree.place(path)}: {name} is {value!r}, and not so in {default.place}"


def inventories_link_the_wiring(tree: Tree) -> Iterator[str]:
    """As a link, so that it cannot drift; read first, so that every other file can set a value anew."""
    for path in tree.files("inventory/*/hosts.yml"):
        directory = path.parent / "group_vars" / "all"
        first = min(directory.iterdir(), default=None) if directory.is_dir() else None
        if first is None or first.resolve() != (tree.root / "inventory" / "wiring.yml").resolve():
            yield f"{tree.place(directory)}: the first file is no link to inventory/wiring.yml"


def inventories_keep_variables_apart(tree: Tree) -> Iterator[str]:
    for path in tree.files("inventory/*/hosts.yml"):
        if re.search(r"^\s*vars:", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{tree.place(path)}: variables stand in group_vars and host_vars"


def one_thing_has_one_value(tree: Tree) -> Iterator[str]:
    values = {default.name: default.value for role in tree.roles for default in tree.defaults(role)}
    for names in SAME:
        if len({repr(values[name]) for name in names if name in values}) > 1:
            yield f"{', '.join(names)}: different defaults for the same thing"


CHECKS: list[Check] = [
    variables_are_in_specs_and_defaults,
    variables_are_named_after_their_role,
    default_values_are_equal,
    entry_points_agree,
    options_are_typed,
    variables_are_described,
    what_is_commented_out_is_required,
    wiring_has_the_roles_values,
    inventories_link_the_wiring,
    inventories_keep_variables_apart,
    one_thing_has_one_value,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


def test_the_same_things_exist() -> None:
    defaults = {default.name for role in Tree().roles for default in Tree().defaults(role)}
    assert {name for names in SAME for name in names} <= defaults


def spec(**options: str) -> str:
    """Return argument specs with one entry point."""
    lines = [f"      {name}: {option}" for name, option in options.items()]
    return "\n".join(["argument_specs:", "  main:", "    options:", *lines]) + "\n"


SPECS = "roles/web/meta/argument_specs.yml"
DEFAULTS = "roles/web/defaults/main.yml"
PORT = "{type: int, default: 80, description: Port.}"


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (
            variables_are_in_specs_and_defaults,
            {SPECS: spec(web_port=PORT), DEFAULTS: "# Other.\nweb_other: 1\n"},
            ["web_port: in the argument", "web_other: in the defaults"],
        ),
        (variables_are_named_after_their_role, {DEFAULTS: "# Port.\nport: 80\n"}, ["port: a variable of web"]),
        (default_values_are_equal, {SPECS: spec(web_port=PORT), DEFAULTS: "web_port: 81\n"}, ["has another default"]),
        (default_values_are_equal, {SPECS: spec(web_port=PORT), DEFAULTS: 'web_port: "80"\n'}, ["has another default"]),
        (default_values_are_equal, {SPECS: spec(web_port=PORT), DEFAULTS: "# web_port: 80\n"}, ["is commented out"]),
        (
            entry_points_agree,
            {SPECS: spec(web_port=PORT) + "  two:\n    options:\n      web_port: {type: int}\n"},
            ["entry point two"],
        ),
        (options_are_typed, {SPECS: spec(web_port="{type: integer}")}, ["its type is integer"]),
        (options_are_typed, {SPECS: spec(web_names="{type: list}")}, ["without the type"]),
        (options_are_typed, {SPECS: spec(web_port="{type: int, default: true}")}, ["is no int"]),
        (options_are_typed, {SPECS: spec(web_on="{type: bool, default: 'yes'}")}, ["is no bool"]),
        (options_are_typed, {SPECS: spec(web_a="{type: list, elements: str, default: [1]}")}, ["an element"]),
        (options_are_typed, {SPECS: spec(web_a="{type: str, choices: [b], default: c}")}, ["none of its choices"]),
        (variables_are_described, {DEFAULTS: "# A.\nweb_a: 1\n\nweb_b: 1\n"}, ["web_b has no comment"]),
        (variables_are_described, {SPECS: spec(web_port=PORT), DEFAULTS: "# A.\nweb_port: 80\n"}, ["differ"]),
        (variables_are_described, {SPECS: spec(web_port="{type: int}")}, ["has no description"]),
        (
            what_is_commented_out_is_required,
            {
                SPECS: spec(web_a="{required: true}", web_b="{type: str}"),
                DEFAULTS: "# A.\n# web_a: 1\n\n# B\n# web_b: 1\n",
            },
            ["does not end in 'Required.'", "does not say when"],
        ),
        (
            what_is_commented_out_is_required,
            {SPECS: spec(web_a="{required: true}"), DEFAULTS: "# A. Required.\nweb_a: 1\n"},
            ["is required and has a default"],
        ),
        (
            wiring_has_the_roles_values,
            {"inventory/wiring.yml": 'web_port: 81\nweb_a: "{{ b }}"\n', DEFAULTS: "web_port: 80\nweb_a: 1\n"},
            ["web_port is 81"],
        ),
        (
            inventories_link_the_wiring,
            {"inventory/a/hosts.yml": "", "inventory/a/group_vars/all/00_wiring.yml": ""},
            ["is no link"],
        ),
        (inventories_keep_variables_apart, {"inventory/a/hosts.yml": "all:\n  vars:\n    a: 1\n"}, ["group_vars"]),
        (
            one_thing_has_one_value,
            {
                "roles/redis/defaults/main.yml": "redis_port: 1\n",
                "roles/airflow/defaults/main.yml": "airflow_broker_port: 2\n",
            },
            ["redis_port, airflow_broker_port: different"],
        ),
    ],
)
def test_a_breach_is_found(check: Check, files: dict[str, str], message: list[str], tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == len(message)
    assert all(re.search(re.escape(part), text) for part, text in zip(message, found, strict=True))


def test_the_role_airflow_runs_each_component_of_airflow() -> None:
    option = Tree().load(PROJECT / "roles" / "airflow" / "meta" / "argument_specs.yml")
    choices = option["argument_specs"]["component"]["options"]["airflow_component"]["choices"]
    assert {*choices} == {name for name, entry in registry().items() if entry.airflow}
