#!/bin/sh
# Answers Git, which asks for a token (secret NAME get), and botocore, which asks for keys (secret NAME): with the unit's
# credential of that server. Git also tells what it would have stored or forgotten, which is nothing.
if [ "${2:-get}" = get ]; then
    cat "$CREDENTIALS_DIRECTORY/bundle_$1"
fi
