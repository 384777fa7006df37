#!/bin/bash
#
# Ansible managed
#
# Says by its exit status what of the rules is in force: 0 all, 1 other ones of ours, 2 none. Files alone would not tell:
# an interrupted run has written them, and a table can be deleted or changed by hand.
# Arguments: the digest in the table, the SHA-256 sum of the rules, and that of the unit.
set -o pipefail

sha256sum --check --status <<SUMS &&
$2  /etc/airstrip/firewall.nft
$3  /etc/systemd/system/airstrip-firewall.service
SUMS
  systemctl is-enabled --quiet airstrip-firewall.service &&
  grep --quiet "$1" /run/airstrip-firewall/loaded &&
  nft --stateless list table inet airstrip | cmp --quiet - /run/airstrip-firewall/loaded &&
  exit 0
nft list chain inet airstrip input >/dev/null && exit 1 || exit 2
