"""No secret has a default, and no task or template that handles one shows it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow_components import OPTIONS
from airstrip_tree import Task, Tree, write
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory
from held_secrets import airflow_held_secrets
from secrets_recovery import MADE_ANEW

Check = Callable[[Tree], Iterator[str]]

MESSAGES = ("ansible.builtin.debug", "ansible.builtin.fail", "ansible.builtin.assert")

# Names that only a secret has. `airflow_secrets_file` is a path, and `airflow_no_log` a flag.
SECRET_NAME = re.compile(r"(password|passphrase|secret|_key|_token|credentials?)$")

# Parts of an expression whose results tell nothing of the secrets in them: digests, messages of the filter that
# checks secrets without quoting them, and the names in a list of mappings.
HARMLESS = (
    r"\{\{(?:(?!\}\}).)*\| hash\('sha256'\) *\}\}",
    r"\{% set (?:(?!%\}).)*\| hash\('sha256'\) *%\}",
    r"\{\{(?:(?!\}\}).)*\| airflow_(?:secret|secret_loss|certificate|authority)_problems(\([^)]*\))? *\}\}",
    r"\{\{(?:(?!\}\}).)*\| (?:airflow_bundle|alertmanager|identity|resources)_problems *\}\}",
    r"\{\{(?:(?!\}\}).)*\| remote_logs_problems\(__preflight_remote_logs\) *\}\}",
    r"\{\{(?:(?!\}\}).)*\| log_target_problems\([^)]*\) *\}\}",
    r"\w+ (?:\| rejectattr\('password', 'defined'\) )?\| map\(attribute='name'\)",
)

# Parts of a registered result that may be shown: a module's own words, in which Ansible hides its secret arguments.
SHOWN = r"\w+\.(msg|rc|stage|differences)\b|\w+ \| combine\(.*\) \| smoke_test_table"


def without_harmless(text: str) -> str:
    """Return a text without the expressions that tell nothing of a secret."""
    for pattern in HARMLESS:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    return text


def mentions(text: str, names: set[str]) -> set[str]:
    """Return those of the names that stand in a text, and not as a quoted word."""
    return {name for name in re.findall(r"(?<!['\w])[A-Za-z_]\w*(?!['\w])", text) if name in names}


def options_with_secrets(tree: Tree) -> set[str]:
    """Return the options that are secrets, and those whose mappings may contain a `password`."""
    return {
        name
        for name, option in tree.all_options.items()
        if option.get("no_log") or "`password`" in str(option.get("description"))
    }


def names_with_secrets(tree: Tree, role: str) -> set[str]:
    """Return those options, and every variable of the role or of the wiring that contains one of them."""
    found = options_with_secrets(tree)
    sources = [*tree.files(f"roles/{role}/vars/main.yml", f"roles/{role}/vars/main/*.yml", "inventory/wiring.yml")]
    values = {name: str(value) for path in sources for name, value in (tree.load(path) or {}).items()}
    # What a template renders of a secret is one itself.
    found |= {
        name
        for name, text in values.items()
        for path in tree.templates_in(role, text)
        if mentions(path.read_text(encoding="utf-8"), options_with_secrets(tree))
    }
    while True:
        more = {name for name, text in values.items() if mentions(without_harmless(text), found)} - found
        if not more:
            return found
        found |= more


def written_templates(tree: Tree, role: str, task: Task) -> list[Path]:
    """Return the templates that a task writes; of a name that is an expression, none."""
    if task.module == "file_set":
        return tree.templates_in(role, task.text)
    if task.module != "ansible.builtin.template":
        return []
    return tree.files(f"roles/{role}/templates/{task.arguments['src']}")


def shows_no_difference(tree: Tree, role: str, task: Task, names: set[str]) -> bool:
    """Tell whether a task that writes files keeps its secrets out of the diff: as a whole, or entry by entry."""
    if task.keys.get("diff") is False or not task.module.endswith((".template", ".copy", "file_set")):
        return True
    entries = tree.entries(role, task)
    texts = {index: without_harmless(str(entry)) for index, entry in enumerate(entries)}
    for index, text in texts.items():
        templates = "".join(path.read_text(encoding="utf-8") for path in tree.templates_in(role, text))
        secret = mentions(text, names) | mentions(templates, options_with_secrets(tree))
        if secret and entries[index].get("secret") is not True:
            return False
    return bool(entries)


def secret_options_are_plain(tree: Tree) -> Iterator[str]:
    """A wrong value is printed by the validation if the option has choices or is not a string, whatever no_log says."""
    for name, option in tree.all_options.items():
        if SECRET_NAME.search(name) and not option.get("no_log"):
            yield f"{name}: named like a secret, but without no_log in the argument specs"
        if option.get("no_log"):
            if option.get("type") != "str" or "choices" in option:
                yield f"{name}: a secret is a str without choices"
            if "default" in option:
                yield f"{name}: a secret has no default"


def secrets_have_no_defaults(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for default in tree.defaults(role):
            if SECRET_NAME.search(default.name) and not default.commented_out:
                yield f"{default.place}: {default.name} has a default"
    for path in tree.files("inventory/**/*.yml"):
        content = tree.load(path)
        for name, value in content.items() if isinstance(content, dict) else ():
            if SECRET_NAME.search(name) and not re.fullmatch(r"\{\{.*\}\}", str(value).strip(), re.DOTALL):
                yield f"{tree.place(path)}: {name} stands there in the clear"


def tasks_with_secrets_are_quiet(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        names = names_with_secrets(tree, role)
        for task in [*tree.tasks(role), *tree.handlers(role)]:
            texts = [without_harmless(task.text) if task.module != "block" else ""]
            templates = written_templates(tree, role, task)
            texts += [without_harmless(path.read_text(encoding="utf-8")) for path in templates]
            found = mentions(texts[0], names) | {
                name for text in texts[1:] for name in mentions(text, options_with_secrets(tree))
            }
            if "lookup('airflow_secret'" in task.text:
                found.add("the lookup airflow_secret")
            if not found:
                continue
            if not re.fullmatch(r"\{\{ \w+_no_log \| bool \}\}", str(task.keys.get("no_log"))):
                yield f"{task.place}: handles {', '.join(sorted(found))} without no_log"
            if not shows_no_difference(tree, role, task, names):
                yield f"{task.place}: writes {', '.join(sorted(found))} without `diff: false`"


def results_with_secrets_are_not_shown(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        tasks = [*tree.tasks(role), *tree.handlers(role)]
        hidden = {task.keys["register"] for task in tasks if "no_log" in task.keys and "register" in task.keys}
        for task in tasks:
            if task.module in MESSAGES:
                for name in mentions(re.sub(SHOWN, "", str(task.arguments)), hidden):
                    yield f"{task.place}: shows {name}, the result of a task with no_log"


def secrets_are_in_no_argument_list(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        names = names_with_secrets(tree, role)
        for task in [*tree.tasks(role), *tree.handlers(role)]:
            if task.module in ("ansible.builtin.command", "ansible.builtin.shell"):
                parts = {key: value for key, value in task.arguments.items() if key != "stdin"}
                for name in mentions(str(parts), names) | mentions(str(task.keys.get("environment", "")), names):
                    yield f"{task.place}: {name} in the arguments or the environment of a command"


CHECKS: list[Check] = [
    secret_options_are_plain,
    secrets_have_no_defaults,
    tasks_with_secrets_are_quiet,
    results_with_secrets_are_not_shown,
    secrets_are_in_no_argument_list,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Check) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


def test_variables_that_contain_secrets_are_known() -> None:
    tree = Tree()
    assert {
        "airflow_fernet_key",
        "airflow_users",
        "postgresql_roles",
        "airflow_database_roles",
        "redis_airflow_password",
        "__airflow_secrets",
        "__airflow_connections",
        "__airflow_held",
    } <= names_with_secrets(tree, "airflow")
    unit = (tree.root / "roles/airflow/templates/component.service.j2").read_text(encoding="utf-8")
    assert "airflow_fernet_key" in unit
    assert "airflow_fernet_key" not in without_harmless(unit)
    assert "__preflight_secrets" in names_with_secrets(tree, "preflight")


def test_secrets_that_are_generated_can_be_recovered_or_made_anew() -> None:
    """The table of hosts' files has those that hosts hold; of the others, a recovery says what a new one means."""
    tree = Tree()
    wiring = tree.root / "inventory" / "wiring.yml"
    generated = set(re.findall(r"^(\w+): .*lookup\('airflow_secret', '\1'", wiring.read_text(), re.MULTILINE))
    components = read_directory(tree.root / "registry")[0].values()
    generated |= {entry.name for component in components for entry in component.inputs if entry.name == entry.secret}
    # Both ends of monitoring get theirs in one run.
    generated -= {"exporters_token", "redis_monitor_password", "worker_scale_password", "scale_hook_password"}
    # Of Grafana's own database, for a host that hardly any site has: its README says what a new one means.
    generated -= {"grafana_admin_password", "grafana_secret_key"}
    names = [*tree.load(tree.root / "registry" / "site.yml")]
    held = airflow_held_secrets({name.removeprefix("site_"): f"/{name}" for name in names}, [])
    assert generated == {*held, *MADE_ANEW}
    assert {name for name, place in held.items() if place.get("is_held") is False} <= set(MADE_ANEW)
    # An external server's password was changed there: the site is cut off already, and a run puts it right.
    assert [name for name, place in held.items() if place.get("cuts_off")] == ["airflow_jwt_secret"]
    own = {name.removeprefix("site_"): "" if name.endswith(("_host", "_file")) else f"/{name}" for name in names}
    places = airflow_held_secrets(own, [{"secret": "a", "worker": "b", "user": "c"}])
    passwords = ["database", "results_database", "results_reader", "broker"]
    cutting = ["airflow_jwt_secret", *(f"airflow_{name}_password" for name in passwords), "airflow_ca_key", "a"]
    assert [name for name, place in places.items() if place.get("cuts_off")] == cutting
    known = tree.variables("airflow_secrets_recovery")["__airflow_secrets_recovery_known"]
    assert set(re.findall(r"'(\w+)'", known)) == {"airflow_secrets_known", *MADE_ANEW}
    credentials = {place["path"].rpartition("/")[2] for place in held.values() if "/credentials/" in place["path"]}
    assert credentials <= {*tree.variables("airflow")["__airflow_secrets"], *OPTIONS}


TASKS = "roles/web/tasks/main.yml"
NO_LOG = '  no_log: "{{ web_no_log | bool }}"\n'
FILES = "__web_files:\n  - {{path: /a, content: \"{{{{ lookup('airstrip_template', 'a.j2') }}}}\", {}}}\n"
REQUIRED = "{type: str, no_log: true, required: true}"


def with_options(**options: str) -> dict[str, str]:
    """Return the file with the argument specs of a role."""
    lines = [f"      {name}: {option}" for name, option in options.items()]
    return {"roles/web/meta/argument_specs.yml": "\n".join(["argument_specs:", "  main:", "    options:", *lines])}


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (secret_options_are_plain, with_options(web_credentials="{type: str}"), "without no_log"),
        (secret_options_are_plain, with_options(web_pin="{type: int, no_log: true}"), "a str without choices"),
        (secret_options_are_plain, with_options(web_pin="{type: str, no_log: true, choices: [a]}"), "without choices"),
        (secret_options_are_plain, with_options(web_pin="{type: str, no_log: true, default: ''}"), "no default"),
        (secrets_have_no_defaults, {"roles/web/defaults/main.yml": "web_password: a\n"}, "has a default"),
        (secrets_have_no_defaults, {"inventory/a/group_vars/all/b.yml": "web_password: a\n"}, "in the clear"),
        (
            tasks_with_secrets_are_quiet,
            {TASKS: '- ansible.builtin.uri:\n    password: "{{ web_pin }}"\n'} | with_options(web_pin=REQUIRED),
            "handles web_pin without",
        ),
        (
            tasks_with_secrets_are_quiet,
            {
                TASKS: f'- ansible.builtin.copy:\n    content: "{{{{ __web_url }}}}"\n{NO_LOG}',
                "roles/web/vars/main.yml": '__web_url: "{{ __web_auth }}@a"\n__web_auth: "a:{{ web_pin }}"\n',
            }
            | with_options(web_pin=REQUIRED),
            "__web_url without `diff: false`",
        ),
        (
            tasks_with_secrets_are_quiet,
            {
                TASKS: "- ansible.builtin.template:\n    src: a.j2\n  diff: false\n",
                "roles/web/templates/a.j2": "{{ web_pin }}",
            }
            | with_options(web_pin=REQUIRED),
            "handles web_pin without",
        ),
        (
            tasks_with_secrets_are_quiet,
            {
                TASKS: '- file_set:\n    entries: "{{ __web_files }}"\n  diff: false\n',
                "roles/web/vars/main.yml": FILES.format("secret: true"),
                "roles/web/templates/a.j2": "{{ web_pin }}",
            }
            | with_options(web_pin=REQUIRED),
            "handles __web_files without no_log",
        ),
        (
            tasks_with_secrets_are_quiet,
            {
                TASKS: f'- file_set:\n    entries: "{{{{ __web_files }}}}"\n{NO_LOG}',
                "roles/web/vars/main.yml": FILES.format("secret: false"),
                "roles/web/templates/a.j2": "{{ web_pin }}",
            }
            | with_options(web_pin=REQUIRED),
            "__web_files without `diff: false`",
        ),
        (
            tasks_with_secrets_are_quiet,
            {
                TASKS: f'- file_set:\n    entries: "{{{{ __web_files + __web_more }}}}"\n{NO_LOG}',
                "roles/web/vars/main.yml": FILES.format("secret: true") + "__web_more: \"{{ [{'a': web_pin}] }}\"\n",
                "roles/web/templates/a.j2": "{{ web_pin }}",
            }
            | with_options(web_pin=REQUIRED),
            "__web_files, __web_more without `diff: false`",
        ),
        (
            tasks_with_secrets_are_quiet,
            {TASKS: "- ansible.builtin.uri:\n    password: \"{{ lookup('airflow_secret', 'a') }}\"\n"},
            "the lookup airflow_secret",
        ),
        (
            results_with_secrets_are_not_shown,
            {TASKS: f'- ansible.builtin.uri:\n  register: a\n{NO_LOG}- ansible.builtin.fail: {{msg: "{{{{ a }}}}"}}'},
            "shows a",
        ),
        (
            secrets_are_in_no_argument_list,
            {TASKS: "- ansible.builtin.command: a {{ web_pin }}\n"} | with_options(web_pin=REQUIRED),
            "web_pin in the arguments",
        ),
        (
            secrets_are_in_no_argument_list,
            {TASKS: '- ansible.builtin.command: a\n  environment: {A: "{{ web_pin }}"}\n'}
            | with_options(web_pin=REQUIRED),
            "web_pin in the arguments",
        ),
    ],
)
def test_a_breach_is_found(check: Check, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == 1
    assert message in found[0]


def test_a_file_whose_entry_is_secret_may_stand_beside_others(tmp_path: Path) -> None:
    files = {
        TASKS: f'- file_set:\n    entries: "{{{{ __web_files }}}}"\n{NO_LOG}',
        "roles/web/vars/main.yml": FILES.format("secret: true") + "  - {path: /b, content: b}\n",
        "roles/web/templates/a.j2": "{{ web_pin }}",
    }
    assert list(tasks_with_secrets_are_quiet(write(tmp_path, files | with_options(web_pin=REQUIRED)))) == []


def test_digests_and_names_are_no_secrets(tmp_path: Path) -> None:
    variables = "__web_digest: \"{{ web_pin | hash('sha256') }}\"\n"
    tasks = '- ansible.builtin.copy:\n    content: "{{ __web_digest }}"\n'
    files = {TASKS: tasks, "roles/web/vars/main.yml": variables} | with_options(web_pin=REQUIRED)
    assert list(tasks_with_secrets_are_quiet(write(tmp_path, files))) == []
