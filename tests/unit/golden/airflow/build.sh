#!/bin/sh
#
# Ansible managed
#
# Builds the release in whose directory it lies. Run again, it goes on with what an interrupted run has left.
set -eu
# Index, proxies and wheelhouse: their URLs may have passwords, which are for root alone and for no argument list.
. /opt/airflow/releases/3.3.2-2ac05bb8f2b1/build.env

/usr/bin/python3 -m venv /opt/airflow/tools/uv
/opt/airflow/tools/uv/bin/pip install --quiet --disable-pip-version-check \
    --require-hashes --only-binary :all: \
    --requirement /opt/airflow/tools/uv.txt
/opt/airflow/tools/uv/bin/uv venv --quiet --allow-existing --no-python-downloads \
    --python /usr/bin/python3 /opt/airflow/releases/3.3.2-2ac05bb8f2b1
# Byte-compiled, because the units cannot write to the release.
/opt/airflow/tools/uv/bin/uv pip install --no-python-downloads --verify-hashes \
    --link-mode copy --compile-bytecode --only-binary :all: \
    --python /opt/airflow/releases/3.3.2-2ac05bb8f2b1 \
    --requirements /opt/airflow/releases/3.3.2-2ac05bb8f2b1/requirements.in \
    --constraints /opt/airflow/releases/3.3.2-2ac05bb8f2b1/constraints.txt
