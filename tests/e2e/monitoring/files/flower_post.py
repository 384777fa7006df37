"""Ask this host's Flower for a change, as a person whose login is read, and print the status of the answer."""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request

login = ":".join(next(iter(json.load(sys.stdin).items())))
request = urllib.request.Request(f"https://127.0.0.1:5555/flower{sys.argv[1]}", method="POST")
request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
context = ssl.create_default_context(cafile="/etc/airflow/ca.crt")
try:
    # S310: it is always HTTPS.
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310
        sys.stdout.write(str(answer.status))
except urllib.error.HTTPError as error:
    sys.stdout.write(str(error.code))
