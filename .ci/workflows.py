"""Checks rules that no linter of workflows has: shellcheck on every script, the required job waits
for all others, and production gets only what was tested, planned, attested and approved."""

import re
import subprocess
import sys

from ruamel.yaml import YAML

REQUIRED = "ci-pass"

# The jobs that production waits for.
GATES = {"tested", "plan", "attest", "staging"}

REGIONS = {"region": "${{ fromJSON(needs.variables.outputs.regions) }}"}


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
    if "deploy" in workflow["jobs"]:
        yield from faults_of_stage(path, workflow["jobs"]["deploy"])
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


    for stage in ("staging", "production"):
        job = workflow["jobs"][stage]
        if job["with"]["environment"] != stage:
            yield f"{path}: {stage}: deploys to the environment {job['with']['environment']}"
        # The peers of a cluster must not change at the same time.
        if job["strategy"] != {"max-parallel": 1, "matrix": REGIONS}:
            yield f"{path}: {stage}: does not deploy to the Regions one after the other"
    if workflow["concurrency"]["cancel-in-progress"] is not False:
        yield f"{path}: concurrency: cancels a deployment that is running"


def faults_of_stage(path, job):
    if job.get("environment") != "${{ inputs.environment }}":
        yield f"{path}: deploy: asks no environment for its approval"
    scripts = [step.get("run", "") for step in job["steps"]]
    order = [
        next((at for at, script in enumerate(scripts) if command in script), None)
        for command in ("gh attestation verify", "cdk deploy", ".ci/smoke")
    ]
    if None in order or order != sorted(order):
        yield f"{path}: deploy: does not verify the artifact, deploy it and test it in this order"


def main():
    found = [
        fault
        for path in sys.argv[1:]
        for fault in faults(path, YAML(typ="safe").load(open(path)))
    ]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


main()
