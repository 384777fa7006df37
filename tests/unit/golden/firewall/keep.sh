#!/bin/bash
#
# Ansible managed
#
# Calls the revert off, which fails if the host has reverted already, and has the rules loaded at each start. A link,
# because it comes to be at once, and the next candidate's diff then tells what is new.
set -euo pipefail

systemctl stop airstrip-firewall-revert.timer
ln --force /etc/airstrip/firewall-candidate.nft /etc/airstrip/firewall.nft
systemctl daemon-reload
systemctl enable --quiet airstrip-firewall.service
systemctl reload-or-restart airstrip-firewall.service
