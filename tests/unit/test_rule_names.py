"""What rules ask for exists, as in dashboards: names and labels of the catalogue."""

import pytest
from airstrip_alerts import Alert, alerts, rendered
from airstrip_catalogue import problems

ALERTS = alerts(rendered())


def test_there_are_rules() -> None:
    assert ALERTS


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_a_rule_asks_for_what_there_is(alert: Alert) -> None:
    assert [*problems(alert.rule["expr"])] == []
