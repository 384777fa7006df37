"""Programs and Ansible itself run in these tests, without hosts."""

from airstrip_pytest import prepare

prepare()
