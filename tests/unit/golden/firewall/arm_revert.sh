#!/bin/bash
#
# Ansible managed
#
# Has systemd take the rules back that are in force now, unless that is called off in time. What is armed already is an
# interrupted run's: the rules before that run are what it restores, and not those in force, which may have cut the
# controller off.
set -euo pipefail

if ! systemctl is-active --quiet airstrip-firewall-revert.timer; then
  printf 'add table inet airstrip\ndelete table inet airstrip\n' >/run/airstrip-firewall-previous.nft
  nft list table inet airstrip >>/run/airstrip-firewall-previous.nft || true
  nft --check --file /run/airstrip-firewall-previous.nft
fi
systemctl stop airstrip-firewall-revert.timer || true
systemd-run --unit=airstrip-firewall-revert --collect --timer-property=AccuracySec=100ms \
  --on-active=60 nft --file /run/airstrip-firewall-previous.nft
