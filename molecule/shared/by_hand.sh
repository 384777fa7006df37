#!/usr/bin/env bash
# Does on a bare host what somebody does who installs Airflow by hand: PostgreSQL by apt, Airflow by uv, plain units,
# and then uses it: a user, a connection, a variable, a DAG that has run. For the scenarios that take it over.
#
# Usage: by_hand.sh VERSION EXCLUDE_NEWER EXECUTOR HOME
#   VERSION        of Airflow, 2.11 or 3
#   EXCLUDE_NEWER  date of the newest packages: Airflow's own lists of versions that work are not on every network
#   EXECUTOR       CeleryExecutor or LocalExecutor
#   HOME           AIRFLOW_HOME, with the virtual environment and the DAGs
#
# The passwords are random. The tests find them in /root/by_hand.

set -euo pipefail

readonly version=$1 exclude_newer=$2 executor=$3 home=$4
readonly venv=$home/venv notes=/root/by_hand
readonly certificates=/etc/ssl/certs/ca-certificates.crt
export DEBIAN_FRONTEND=noninteractive SSL_CERT_FILE=$certificates PIP_CERT=$certificates

as_airflow() {
  runuser --user airflow -- env --chdir="$home" bash -c 'set -a; . /etc/default/airflow; exec "$@"' - "$@"
}

packages() {
  local -a names=(postgresql python3-venv openssl)
  [[ $executor != CeleryExecutor ]] || names+=(redis-server)
  apt-get install -qq -y --no-install-recommends "${names[@]}" >/dev/null
  systemctl start postgresql
}

secrets() {
  install -d -m 0700 "$notes"
  openssl rand -hex 16 | tr -d '\n' >"$notes/database_password"
  openssl rand -hex 16 | tr -d '\n' >"$notes/user_password"
  openssl rand -hex 16 | tr -d '\n' >"$notes/connection_password"
  openssl rand -hex 16 | tr -d '\n' >"$notes/elasticsearch_password"
  openssl rand -base64 32 | tr '+/' '-_' | tr -d '\n' >"$notes/fernet_key"
}

database() {
  runuser --user postgres -- psql --quiet --set=ON_ERROR_STOP=1 <<SQL
CREATE ROLE airflow_hand LOGIN PASSWORD '$(<"$notes/database_password")';
CREATE DATABASE airflow_hand OWNER airflow_hand TEMPLATE template0 ENCODING 'UTF8';
SQL
  printf '# by hand\nhost all all 198.51.100.7/32 scram-sha-256\n' >>/etc/postgresql/*/main/pg_hba.conf
}

environment() {
  useradd --system --user-group --home-dir "$home" --shell /bin/bash airflow
  install -d -o airflow -g airflow "$home" "$home/dags"
  python3 -m venv /root/uv
  /root/uv/bin/pip install --quiet --disable-pip-version-check uv
  # With pip, as `python3 -m venv` would make it.
  /root/uv/bin/uv venv --quiet --seed --python /usr/bin/python3 "$venv"
  /root/uv/bin/uv pip install --quiet --link-mode copy --python "$venv" --exclude-newer "$exclude_newer" \
    "apache-airflow[$extras]==$version" psycopg2-binary "${pins[@]}"
}

# What Ansible would take for a template, and would run: the first is Airflow's own default but for its end.
templates() {
  cat <<'CFG'
[logging]
log_filename_template = dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/{%% if ti.map_index >= 0 %%}map_index={{ ti.map_index }}/{%% endif %%}by_hand={{ try_number|default(ti.try_number) }}.log
[email]
subject_template = {{ lookup('ansible.builtin.pipe', 'touch /tmp/airstrip_by_hand; echo ran') }}
CFG
}

# Airflow 2 has its secrets in airflow.cfg here, Airflow 3 in the units' file of environment variables.
configuration() {
  local url key
  url="postgresql+psycopg2://airflow_hand:$(<"$notes/database_password")@localhost/airflow_hand"
  key=$(<"$notes/fernet_key")
  {
    printf '[core]\nexecutor = %s\ndags_folder = %s/dags\nload_examples = False\n' "$executor" "$home"
    printf 'max_active_tasks_per_dag = 7\n'
    if [[ $version == 2.* ]]; then
      printf 'fernet_key = %s\n' "$key"
      printf '[database]\nsql_alchemy_conn = %s\n' "$url"
      printf '[webserver]\nsecret_key = %s\ninstance_name = By hand\n' "$(openssl rand -hex 30)"
      printf '[scheduler]\ndag_dir_list_interval = 17\n'
      printf '[celery]\nbroker_url = redis://localhost:6379/0\nresult_backend = db+%s\n' "$url"
    else
      printf 'auth_manager = airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager\n'
      printf '[api]\ninstance_name = By hand\n'
    fi
    # A password that only its value shows to be one. Nothing uses it without remote logging.
    printf '[elasticsearch]\nhost = http://by_hand:%s@localhost:9200\n' "$(<"$notes/elasticsearch_password")"
    templates
  } >"$home/airflow.cfg"
  chown airflow:airflow "$home/airflow.cfg"
  chmod 0600 "$home/airflow.cfg"
  {
    printf 'AIRFLOW_HOME=%s\n' "$home"
    if [[ $version != 2.* ]]; then
      printf 'AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=%s\n' "$url"
      printf 'AIRFLOW__CORE__FERNET_KEY=%s\n' "$key"
      printf 'AIRFLOW__API__SECRET_KEY=%s\n' "$(openssl rand -hex 30)"
      printf 'AIRFLOW__API_AUTH__JWT_SECRET=%s\n' "$(openssl rand -hex 32)"
    fi
  } >/etc/default/airflow
  chown root:airflow /etc/default/airflow
  chmod 0640 /etc/default/airflow
}

unit() {
  local name=$1
  shift
  cat >"/etc/systemd/system/airflow-$name.service" <<UNIT
[Unit]
Description=Airflow $name
After=network.target postgresql.service

[Service]
User=airflow
Group=airflow
EnvironmentFile=/etc/default/airflow
ExecStart=$venv/bin/airflow $*
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
UNIT
  systemctl enable --quiet --now "airflow-$name"
}

# Somebody else's, which has Airflow in its name only.
exporter() {
  printf '#!/bin/sh\nexec sleep infinity\n' >/usr/local/bin/airflow-exporter
  chmod 0755 /usr/local/bin/airflow-exporter
  printf '[Service]\nExecStart=/usr/local/bin/airflow-exporter\n[Install]\nWantedBy=multi-user.target\n' \
    >/etc/systemd/system/airflow-exporter.service
  systemctl enable --quiet --now airflow-exporter
}

units() {
  # One of them with a drop-in, which must not hold for what comes after it.
  install -d /etc/systemd/system/airflow-scheduler.service.d
  printf '[Service]\nNice=5\n' >/etc/systemd/system/airflow-scheduler.service.d/nice.conf
  if [[ $version == 2.* ]]; then
    unit webserver webserver
  else
    unit api-server api-server
    unit dag-processor dag-processor
  fi
  unit scheduler scheduler
  unit triggerer triggerer
  [[ $executor != CeleryExecutor ]] || unit worker celery worker --concurrency 4
}

content() {
  cat >"$home/dags/by_hand.py" <<'DAG'
"""Tells, without showing it, which password the connection by_hand has, and what the variable by_hand says."""

import hashlib

from airflow.decorators import dag, task


@dag(schedule=None, catchup=False)
def by_hand():
    """Two tasks, so that the second needs what the first has returned."""

    @task
    def digest(password: str) -> str:
        return hashlib.sha256(password.encode()).hexdigest()

    @task
    def report(found: str, variable: str) -> str:
        return f"{variable} {found}"

    report(digest("{{ conn.by_hand.password }}"), "{{ var.value.by_hand }}")


by_hand()
DAG
  chown airflow:airflow "$home/dags/by_hand.py"
  as_airflow "$venv/bin/airflow" db migrate
  # Passwords by standard input, and by a file: what is in an argument list, everybody can read.
  as_airflow "$venv/bin/airflow" users create --username hand --email hand@localhost.localdomain --firstname Old \
    --lastname Hand --role Admin <<<"$(cat "$notes/user_password" && echo && cat "$notes/user_password")"
  printf '{"by_hand": {"conn_type": "generic", "host": "example.com", "login": "hand", "password": "%s"}}' \
    "$(<"$notes/connection_password")" >"$home/connections.json"
  chmod 0644 "$home/connections.json"
  as_airflow "$venv/bin/airflow" connections import "$home/connections.json"
  rm "$home/connections.json"
  as_airflow "$venv/bin/airflow" variables set by_hand "written by hand"
}

# A run that ends well, and is history when the installation is taken over.
run_dag() {
  local state
  as_airflow "$venv/bin/airflow" dags reserialize
  as_airflow "$venv/bin/airflow" dags unpause by_hand
  as_airflow "$venv/bin/airflow" dags trigger --run-id made_by_hand by_hand
  for _ in {1..90}; do
    state=$(runuser --user postgres -- psql --no-align --tuples-only airflow_hand \
      --command="SELECT state FROM dag_run WHERE run_id = 'made_by_hand'")
    [[ $state != success ]] || return 0
    [[ $state != failed ]] || break
    sleep 2
  done
  echo "by_hand.sh: the run of the DAG is '$state'" >&2
  journalctl --no-pager --lines=50 --unit='airflow-*' >&2
  return 1
}

extras=postgres,fab
[[ $version == 2.* ]] || extras+=,standard
[[ $executor != CeleryExecutor ]] || extras+=,celery,redis
# Celery's provider 3.17.1 knows the tasks of Airflow 2 by two names, and its worker refuses all of them.
pins=()
[[ $version != 2.* ]] || pins+=('apache-airflow-providers-celery<3.16')
readonly extras pins

packages
secrets
database
environment
configuration
content
units
exporter
run_dag
