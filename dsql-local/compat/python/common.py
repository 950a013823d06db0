"""Shared by the clients: the cluster's address, and the SQLSTATE of a conflict."""

import os
import ssl

HOST = os.environ["PGHOST"]
PORT = int(os.environ["PGPORT"])
CA = os.environ["PGSSLROOTCERT"]
TOKEN = os.environ["PGPASSWORD"]
REGION = os.environ["REGION"]
CONFLICT = "40001"


def tls():
    return ssl.create_default_context(cafile=CA)


def expect(condition, what):
    if not condition:
        raise SystemExit(f"Error: {what}")


def conflict_of(run, state):
    """Runs a function that must fail with a conflict."""
    try:
        run()
    except Exception as error:  # The clients have no common class.
        expect(state(error) == CONFLICT, f"got {error!r} instead of a conflict")
    else:
        raise SystemExit("Error: the second writer got no error")
