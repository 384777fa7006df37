"""Passwords of people as programs of Prometheus take them."""

import bcrypt
import pytest
from ansible.errors import AnsibleFilterError
from bcrypt_users import bcrypt_users


def test_a_hash_is_that_of_the_password_and_the_same_in_each_run() -> None:
    found = bcrypt_users({"ada": "a secret", "bob": "a secret"}, "key")
    assert all(bcrypt.checkpw(b"a secret", digest.encode()) for digest in found.values())
    assert not bcrypt.checkpw(b"another", found["ada"].encode())
    assert found == bcrypt_users({"ada": "a secret", "bob": "a secret"}, "key")


def test_nothing_of_the_password_is_in_the_salt_for_who_has_not_the_key() -> None:
    salts = {
        bcrypt_users({name: "a secret"}, key)["ada" if name == "ada" else "bob"][:29]
        for name, key in [("ada", "key"), ("bob", "key"), ("ada", "other")]
    }
    assert len(salts) == 3


@pytest.mark.parametrize("password", ["", "x" * 73, "é" * 37])
def test_what_bcrypt_would_not_look_at_is_refused(password: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"the password of ada has \d+ bytes; 1 to 72 do"):
        bcrypt_users({"ada": password}, "key")
