"""Role airflow_resources: the first administrator, who is there before it. The rest is in tests/e2e/content."""

from __future__ import annotations

import json
from typing import Any


def test_the_first_administrator_has_an_account(host: Any) -> None:
    listed = host.check_output("airflow users list --output json")
    # Log lines may stand before the list.
    accounts = json.loads(listed[listed.rindex("[{") :])
    assert ("admin", ["Admin"]) in [(account["username"], account["roles"]) for account in accounts]
