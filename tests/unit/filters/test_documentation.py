"""Every filter is documented as it is built, and works on what Ansible's templates hand to it."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

DIRECTORY = Path(__file__).parents[3] / "filter_plugins"


def _filters() -> Iterator[tuple[str, Callable[..., Any]]]:
    for path in sorted(DIRECTORY.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # As Ansible does: dataclasses look their module up.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        yield from module.FilterModule().filters().items()


FILTERS = dict(_filters())


@pytest.mark.parametrize("name", FILTERS)
def test_documentation_names_the_parameters_of_the_function(name: str) -> None:
    document = yaml.safe_load((DIRECTORY / f"{name}.yml").read_text())
    documentation = document["DOCUMENTATION"]
    parameters = list(inspect.signature(FILTERS[name]).parameters)[1:]
    positional = [word.strip() for word in documentation.get("positional", "").split(",") if word.strip()]
    assert documentation["name"] == name
    assert positional == parameters
    assert list(documentation["options"]) == ["_input", *parameters]
    assert f"| {name}" in document["EXAMPLES"]
    assert document["RETURN"]["_value"]["description"]


@pytest.mark.parametrize("name", FILTERS)
def test_functions_have_a_docstring_and_at_most_four_parameters(name: str) -> None:
    assert inspect.getdoc(FILTERS[name])
    assert len(inspect.signature(FILTERS[name]).parameters) <= 4


def test_no_sidecar_is_left_of_a_filter_that_is_gone() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.yml")} == set(FILTERS)


@pytest.fixture(scope="module")
def template() -> Callable[[str], Any]:
    """Return a function that evaluates a template with variables which are templates themselves."""
    init_plugin_loader([])
    filter_loader.add_directory(str(DIRECTORY))
    variables: dict[str, Any] = {
        "host": trust_as_template("{{ 'vm' ~ 1 }}"),
        "hosts": [trust_as_template("{{ host }}")],
        "port": trust_as_template("{{ 8000 + 80 }}"),
        "nested": {
            "kwargs": [{"path": trust_as_template("{{ host }}/dags"), "pair": [trust_as_template("{{ port }}")]}]
        },
        "password": trust_as_template("{{ 'a/' ~ 'b' }}"),
    }
    templar = Templar(loader=DataLoader(), variables=variables)
    return lambda text: templar.template(trust_as_template("{{ " + text + " }}"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nested | airflow_config_value", '{"kwargs":[{"path":"vm1/dags","pair":[8080]}]}'),
        (
            "{'a': {'enabled': true, 'options': {'core': {'x': nested}}}} "
            "| airflow_config_merge({'core': {'y': port}})",
            {"core": {"x": {"kwargs": [{"path": "vm1/dags", "pair": [8080]}]}, "y": 8080}},
        ),
        (
            "{'scheme': 'redis', 'password': password, 'host': host, 'port': port, 'path': 0} | connection_uri",
            "redis://:a%2Fb@vm1:8080/0",
        ),
        ("{'p': {'kind': 'password', 'value': password}} | airflow_secret_problems | length", 1),
        ("{'disk': [{'path': host, 'free_mb': 1, 'needed_mb': port}]} | preflight_problems | length", 1),
        ("'3.1.7' | airflow_release_requirements(hosts, hosts, {}) | last", "vm1"),
    ],
)
def test_filters_work_on_templated_variables(template: Callable[[str], Any], text: str, value: Any) -> None:
    assert template(text) == value
