#!/usr/bin/env bash
# The yardstick of the measure `install`: Airflow 3 on one fresh Debian 13 host, as an expert writes it by hand once,
# for this host alone. It knows no second run, no second host, no other value of anything, and hardens nothing.
#
# Usage: reference_install.sh DIRECTORY
#   DIRECTORY has requirements.in, constraints.txt (the project's lock) and uv.txt, so that both install the same.

set -euo pipefail

readonly given=$1
readonly home=/var/lib/airflow
readonly venv=/opt/airflow
readonly units="airflow-api-server airflow-scheduler airflow-dag-processor airflow-triggerer airflow-worker"
readonly url=http://127.0.0.1:8080

secret() {
  head -c 24 /dev/urandom | base64 --wrap 0 | tr '+/' '-_'
}

install_packages() {
  update-ca-certificates >/dev/null
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    curl git postgresql python3-venv redis-server >/dev/null
}

install_airflow() {
  # Neither pip nor uv looks at the system's certificates by itself.
  export PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
  python3 -m venv /opt/uv
  /opt/uv/bin/pip install --quiet --require-hashes --requirement "$given/uv.txt"
  /opt/uv/bin/uv venv --quiet --python /usr/bin/python3 "$venv"
  /opt/uv/bin/uv pip install --quiet --python "$venv" --verify-hashes --only-binary :all: --compile-bytecode \
    --requirements "$given/requirements.in" --constraints "$given/constraints.txt"
}

provide_database() {
  # The package has started the cluster; the roles' passwords go in by standard input.
  runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<SQL
CREATE ROLE airflow LOGIN PASSWORD '$database_password';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE airflow_results OWNER airflow;
SQL
}

provide_broker() {
  printf 'requirepass %s\n' "$broker_password" >>/etc/redis/redis.conf
  systemctl restart redis-server
}

configure() {
  local database=postgresql+psycopg2://airflow:$database_password@127.0.0.1
  useradd --system --create-home --home-dir "$home" --shell /usr/sbin/nologin airflow
  install -d -o airflow -g airflow "$home/dags" "$home/logs"
  install -d -m 0750 -o root -g airflow /etc/airflow
  # Readable for Airflow alone: it has the passwords.
  install -m 0640 -o root -g airflow /dev/null /etc/airflow/environment
  cat >/etc/airflow/environment <<CONFIGURATION
PATH=$venv/bin:/usr/local/bin:/usr/bin:/bin
AIRFLOW_HOME=$home
AIRFLOW__CORE__AUTH_MANAGER=airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
AIRFLOW__CORE__DAGS_FOLDER=$home/dags
AIRFLOW__CORE__EXECUTOR=CeleryExecutor
AIRFLOW__CORE__EXECUTION_API_SERVER_URL=$url/execution/
AIRFLOW__CORE__FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
AIRFLOW__CORE__LOAD_EXAMPLES=False
AIRFLOW__API__SECRET_KEY=$(secret)
AIRFLOW__API_AUTH__JWT_SECRET=$(secret)$(secret)
AIRFLOW__CELERY__BROKER_URL=redis://:$broker_password@127.0.0.1:6379/0
AIRFLOW__CELERY__RESULT_BACKEND=db+$database/airflow_results
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$database/airflow
AIRFLOW__LOGGING__BASE_LOG_FOLDER=$home/logs
CONFIGURATION
  cat >"$home/dags/proof.py" <<'DAG'
from airflow.sdk import DAG, task

with DAG("proof", schedule=None, is_paused_upon_creation=False):

    @task
    def hello():
        return "hello"

    hello()
DAG
}

as_airflow() {
  systemd-run --quiet --pipe --wait --uid=airflow --gid=airflow --working-directory="$home" \
    --property=EnvironmentFile=/etc/airflow/environment "$venv/bin/airflow" "$@"
}

write_units() {
  local unit command
  for unit in $units; do
    command=${unit#airflow-}
    [[ $command != worker ]] || command="celery worker"
    cat >"/etc/systemd/system/$unit.service" <<UNIT
[Unit]
Description=Airflow $command
After=network-online.target postgresql.service redis-server.service
Wants=network-online.target

[Service]
User=airflow
Group=airflow
WorkingDirectory=$home
EnvironmentFile=/etc/airflow/environment
ExecStart=$venv/bin/airflow $command
KillMode=mixed
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
  done
  systemctl daemon-reload
  # shellcheck disable=SC2086 # a list of names
  systemctl enable --quiet --now $units
}

# Reads JSON on standard input; prints what an expression makes of it.
json() {
  python3 -c "import json, sys; a = json.load(sys.stdin); print($1)"
}

# Until a command succeeds, for five minutes at most.
wait_for() {
  local end=$((SECONDS + 300))
  until "$@" 2>/dev/null; do
    [[ $SECONDS -lt $end ]] || { printf 'reference_install.sh: in vain: %s\n' "$*" >&2 && exit 1; }
    sleep 1
  done
}

# The password and the token stay out of every argument list.
log_in() {
  token=$(printf '{"username": "admin", "password": "%s"}' "$admin_password" |
    curl --silent --fail --json @- "$url/auth/token" | json 'a["access_token"]')
}

api() {
  printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --silent --fail --config - "$url$1" "${@:2}"
}

is_healthy() {
  [[ $(curl --silent --fail "$url/api/v2/monitor/health" |
    json 'all(a[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer"))') == True ]]
}

knows_dag() {
  api /api/v2/dags/proof >/dev/null
}

has_ended() {
  state=$(api "/api/v2/dags/proof/dagRuns/$run" | json 'a["state"]')
  [[ $state == success || $state == failed ]]
}

prove() {
  wait_for is_healthy
  wait_for log_in
  wait_for knows_dag
  run=$(api /api/v2/dags/proof/dagRuns --json '{"logical_date": null}' | json 'a["dag_run_id"]')
  wait_for has_ended
  printf 'proof: %s\n' "$state"
  [[ $state == success ]]
}

# Says when each step ended, for details.
step() {
  "$@"
  printf '%4d s  %s\n' "$SECONDS" "$*"
}

database_password=$(secret)
broker_password=$(secret)
admin_password=$(secret)
readonly database_password broker_password admin_password

step install_packages
step install_airflow
step provide_database
step provide_broker
step configure
step as_airflow db migrate
printf '%s\n%s\n' "$admin_password" "$admin_password" |
  as_airflow users create --username admin --email admin@example.com --firstname admin --lastname admin --role Admin \
    >/dev/null
step write_units
step prove
