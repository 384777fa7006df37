#!/bin/sh
#
# Ansible managed
#
# Builds the release in whose directory it lies, and marks it as complete. It outlives a controller that dies, so the
# next run may find it at work: one builds at a time on a host. The lock ends with the processes that hold it.
set -eu
# Its users read it, whatever root's own umask is.
umask 022
# Index, proxies and wheelhouse: their URLs may have passwords, which are for root alone and for no argument list.
# shellcheck source=/dev/null
. /opt/airflow/releases/3.3.2-2ac05bb8f2b1/build.env

release=/opt/airflow/releases/3.3.2-2ac05bb8f2b1
exec 9>>/opt/airflow/tools/build.lock
flock --nonblock 9 || { echo "Waited for another build on this host." >&2; flock 9; }
[ ! -e "$release/complete" ] || exit 0

# What an interrupted build has left looks installed to uv, and need not be whole. A release in use is never emptied.
[ "$(readlink /opt/airflow/current)" = "$release" ] ||
    grep -qsF "$release/" /etc/systemd/system/airflow-*.service ||
    rm -rf "${release:?}/bin" "${release:?}/lib" "${release:?}/lib64"

/usr/bin/python3 -m venv /opt/airflow/tools/uv
/opt/airflow/tools/uv/bin/pip install --quiet --disable-pip-version-check \
    --require-hashes --only-binary :all: \
    --requirement /opt/airflow/tools/uv.txt
/opt/airflow/tools/uv/bin/uv venv --quiet --allow-existing --no-python-downloads \
    --python /usr/bin/python3 "$release"
/opt/airflow/tools/uv/bin/uv pip install --no-python-downloads --verify-hashes \
    --link-mode copy --only-binary :all: \
    --python "$release" \
    --requirements "$release/requirements.in" \
    --constraints "$release/constraints.txt"
# Byte-compiled, because the units cannot write to the release. Not by its own Python, in which any of its packages can
# have something run as it starts. Some packages have files that are for other Pythons.
/usr/bin/python3 -I -m compileall -q -q -j 0 "$release/lib" || :
# Last, so that an interrupted installation is not taken for a release.
touch "$release/complete"
