"""Role airflow_users: who may log in. What the module does with users is in test_module_airflow_user.py."""

from __future__ import annotations

import json
from typing import Any


def test_the_first_administrator_has_an_account(host: Any) -> None:
    listed = host.check_output("airflow users list --output json")
    # Log lines may stand before the list.
    accounts = json.loads(listed[listed.rindex("[{") :])
    assert ("admin", ["Admin"]) in [(account["username"], account["roles"]) for account in accounts]
