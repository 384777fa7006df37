"""The rules that alert, as promtool of the monitoring hosts sees them: they are sound, and fire when they should."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
from airstrip_alerts import TESTS, rendered
from airstrip_site import Site

pytestmark = pytest.mark.only_in("monitoring")
DIRECTORY = "/run/airstrip-test-rules"


@pytest.fixture(scope="module")
def promtool(site: Site) -> Iterator[Any]:
    """A monitoring host, with the rules as the defaults give them, and their tests."""
    host = testinfra.get_host(site.connection(site.group("monitoring")[0]))
    texts = {f"rules/{name}": text for name, text in rendered().items()}
    texts |= {path.name: path.read_text(encoding="utf-8") for path in TESTS.glob("*.yml")}
    host.check_output(f"mkdir -p {DIRECTORY}/rules")
    for name, text in texts.items():
        host.check_output(f"printf %s {shlex.quote(text)} >{DIRECTORY}/{name}")
    yield host
    host.check_output(f"rm -r {DIRECTORY}")


@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.yml")))
def test_rules_are_sound_and_fire_when_they_should(promtool: Any, name: str) -> None:
    for command in (f"check rules rules/{name}", f"test rules {name}"):
        result = promtool.run(f"cd {DIRECTORY} && promtool {command}")
        assert result.rc == 0, result.stdout + result.stderr


def test_a_wrong_expectation_is_found(promtool: Any) -> None:
    """So that a test which passes says something."""
    text = (TESTS / "hosts.yml").read_text(encoding="utf-8")
    assert "exp_alerts: []" in text
    wrong = text.replace("instance: worker-1", "instance: worker-9", 1)
    promtool.check_output(f"printf %s {shlex.quote(wrong)} >{DIRECTORY}/wrong.yml")
    assert promtool.run(f"cd {DIRECTORY} && promtool test rules wrong.yml").rc != 0


def test_the_rules_in_force_are_sound(site: Site) -> None:
    """With what the site has changed of them."""
    for name in site.group("monitoring"):
        host = testinfra.get_host(site.connection(name))
        host.check_output("promtool check config --syntax-only /etc/airstrip/prometheus/prometheus.yml")
        host.check_output("promtool check rules /etc/airstrip/prometheus/rules/*.yml")
