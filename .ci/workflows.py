"""Checks what no linter of workflows asks for: every shell script in them, and that the one required job waits for all others."""

import subprocess
import sys

from ruamel.yaml import YAML

REQUIRED = "ci-pass"


def faults(path, workflow):
    for name, job in workflow["jobs"].items():
        if "timeout-minutes" not in job and "uses" not in job:
            yield f"{path}: {name}: has no timeout-minutes"
        for number, step in enumerate(job.get("steps", []), 1):
            script = step.get("run")
            if script is None:
                continue
            where = f"{path}: {name}: step {number}"
            shellcheck = subprocess.run(
                ["shellcheck", "--shell=bash", "--format=gcc", "-"],
                input=script,
                stdout=subprocess.PIPE,
                text=True,
            )
            for line in shellcheck.stdout.splitlines():
                yield f"{where}: {line}"
    if REQUIRED in workflow["jobs"]:
        others = set(workflow["jobs"]) - {REQUIRED}
        for forgotten in others - set(workflow["jobs"][REQUIRED]["needs"]):
            yield f"{path}: {REQUIRED}: does not need {forgotten}"


def main():
    found = [
        fault
        for path in sys.argv[1:]
        for fault in faults(path, YAML(typ="safe").load(open(path)))
    ]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


main()
