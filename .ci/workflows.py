"""Checks what no linter of workflows asks for: every shell script in them, that the one required job waits for all others,
and that production gets what was tested, shown and built by a compiler that is named."""

import re
import subprocess
import sys

from ruamel.yaml import YAML

REQUIRED = "ci-pass"

# What a deployment to production waits for.
GATES = {"tested", "plan", "attest", "staging"}


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
    if "production" in workflow["jobs"]:
        yield from faults_of_deployment(path, workflow)
    if REQUIRED in workflow["jobs"]:
        others = set(workflow["jobs"]) - {REQUIRED}
        for forgotten in others - set(workflow["jobs"][REQUIRED]["needs"]):
            yield f"{path}: {REQUIRED}: does not need {forgotten}"


def faults_of_deployment(path, workflow):
    missing = GATES - set(workflow["jobs"]["production"]["needs"])
    for gate in sorted(missing):
        yield f"{path}: production: does not need {gate}"
    toolchain = workflow["jobs"]["build"].get("env", {}).get("RUSTUP_TOOLCHAIN", "none")
    if not re.fullmatch(r"\d+\.\d+\.\d+", toolchain):
        yield f"{path}: build: RUSTUP_TOOLCHAIN is {toolchain}: name a version"


def main():
    found = [
        fault
        for path in sys.argv[1:]
        for fault in faults(path, YAML(typ="safe").load(open(path)))
    ]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


main()
