"""Runs the scripts of a deployment, and the scripts inside its workflows, with fake versions of gh,
aws, cdk, curl and npm."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from ruamel.yaml import YAML

CI = Path(__file__).parent
WORKFLOWS = CI.parent / ".github/workflows"

# Answers by the first rule whose words are all in the command line. Each rule is used once, except
# the last one that fits. Every command line is recorded.
FAKE = """#!/usr/bin/env python3
import json, sys
from pathlib import Path
folder = Path(__file__).parent
name = Path(__file__).name
line = " ".join([name, *sys.argv[1:]])
with open(folder / "calls", "a") as calls:
    print(line, file=calls)
rules = json.loads((folder / "rules").read_text())
fits = [rule for rule in rules if all(word in line for word in rule["words"])]
if not fits:
    sys.exit(f"no rule for: {line}")
rule = fits[0]
if len(fits) > 1:
    rules.remove(rule)
    (folder / "rules").write_text(json.dumps(rules))
print(rule.get("out", ""), end="")
print(rule.get("error", ""), end="", file=sys.stderr)
sys.exit(rule.get("code", 0))
"""


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("gh", "aws", "cdk", "npm"):
            program = self.folder / name
            program.write_text(FAKE)
            program.chmod(0o755)

    def run_script(self, name, *arguments, rules):
        (self.folder / "rules").write_text(json.dumps(rules))
        environment = {
            **os.environ,
            "ATTEMPTS": "3",
            "CDK": "cdk",
            "GITHUB_REPOSITORY": "octocat/games",
            "INTERVAL": "0",
            "PATH": f"{self.folder}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [CI / name, *arguments], env=environment, capture_output=True, text=True
        )

    def calls(self):
        return (self.folder / "calls").read_text().splitlines()

    def test_a_commit_is_deployed_after_ci_pass_succeeded(self):
        run = {"words": ["ci.yml/runs?head_sha=abc&branch=main&event=push"], "out": "7\n"}
        for outcomes, code in (
            (["", "success"], 0),
            (["success"], 0),
            (["failure"], 1),
            (["", "cancelled"], 1),
            (["skipped"], 1),
            ([""], 1),
        ):
            with self.subTest(outcomes=outcomes):
                jobs = [{"words": ["runs/7/jobs"], "out": outcome} for outcome in outcomes]
                result = self.run_script("tested", "abc", rules=[run, *jobs])
                self.assertEqual(result.returncode, code, result)
        nothing = self.run_script("tested", "abc", rules=[{"words": ["ci.yml/runs"]}])
        self.assertEqual(nothing.returncode, 1)
        self.assertIn("has to be a commit of main", nothing.stdout)

    def test_what_changes_is_shown_from_the_deployed_template(self):
        out = self.folder / "cdk.out"
        out.mkdir()
        for stack in ("Old", "New"):
            (out / f"{stack}.template.json").write_text('{"Resources": {"A": {}, "B": {}}}')
        known = {"words": ["get-template", "Old"], "out": '{"Resources": {}}'}
        missing = {"words": ["get-template", "New"], "error": "Stack New does not exist", "code": 254}
        changes = {"words": ["cdk diff Old --exclusively", "--template"], "out": "[+] AWS::SNS::Topic\n"}
        result = self.run_script("template-diff", str(out), rules=[known, missing, changes])
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("A new stack of 2 resources", result.stdout)
        self.assertIn("[+] AWS::SNS::Topic", result.stdout)

        denied = {"words": ["get-template"], "error": "AccessDenied", "code": 254}
        result = self.run_script("template-diff", str(out), rules=[denied])
        self.assertEqual(result.returncode, 1, "an approver must not see an empty list")

    def test_a_rollback_cancels_what_waits_and_waits_for_what_runs(self):
        rules = [
            {"words": ["status=waiting"], "out": "1\n2\n"},
            {"words": ["status=queued"], "out": "3\n"},
            {"words": ["status=in_progress"], "out": "4\n"},
            {"words": ["status="]},
            {"words": ["/cancel"]},
        ]
        result = self.run_script("stop-deployments", rules=rules)
        self.assertEqual(result.returncode, 0, result)
        cancelled = [call.split("/")[-2] for call in self.calls() if call.endswith("/cancel")]
        self.assertEqual(cancelled, ["1", "2", "3"])
        self.assertIn("wait for the deployment 4", result.stdout)

        waiting = [{"words": [f"status={one}"]} for one in ("waiting", "pending", "queued", "requested")]
        stuck = {"words": ["status=in_progress"], "out": "4\n"}
        result = self.run_script("stop-deployments", rules=[*waiting, stuck])
        self.assertEqual(result.returncode, 1, result)

    def test_a_rollback_switches_the_alias_to_a_version(self):
        rules = [
            {"words": ["describe-stacks", "GenerateGame-prod-Functions"], "out": "game\n"},
            {"words": ["get-alias", "--function-name game", "--name live"], "out": "8\n"},
            {"words": ["update-alias", "--function-name game", "--name live", "--function-version 7"]},
        ]
        result = self.run_script("rollback", "prod", "7", rules=rules)
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(result.stdout, "live was version 8, and is version 7 now\n")
        again = self.run_script("rollback", "prod", "8", rules=rules)
        self.assertEqual(again.stdout, "live is version 8 already\n")
        missing = {"words": ["update-alias"], "error": "Function not found", "code": 254}
        unknown = self.run_script("rollback", "prod", "99", rules=[*rules[:2], missing])
        self.assertEqual((unknown.returncode, unknown.stdout), (254, ""))
        self.assertNotEqual(self.run_script("rollback", "prod", "$LATEST", rules=rules).returncode, 0)

    def test_a_smoke_test_that_fails_deletes_its_game(self):
        curl = self.folder / "curl"
        curl.write_text(CURL)
        curl.chmod(0o755)
        for failing, code in (("", 0), ("GET /games?limit=1", 1), ("POST /games wrong", 1)):
            with self.subTest(failing=failing):
                for state in ("games", "requests"):
                    (self.folder / state).unlink(missing_ok=True)
                environment = {
                    **os.environ,
                    "API_KEY": "secret",
                    "FAILING": failing,
                    "PATH": f"{self.folder}:{os.environ['PATH']}",
                }
                result = subprocess.run(
                    [CI / "smoke", "http://api"], env=environment, capture_output=True, text=True
                )
                self.assertEqual(result.returncode, code, result)
                self.assertEqual((self.folder / "games").read_text(), "", "the game is still there")
                requests = (self.folder / "requests").read_text()
                self.assertNotIn("secret", requests, "a list of processes would show the key")

    def test_a_deployment_needs_its_variables(self):
        role = "arn:aws:iam::123456789012:role/deploy"
        complete = {"PLAN_ROLE": role, "ROLE": role, "REGION": "us-east-1", "REGIONS": ""}
        for changed, event, code, output in (
            ({}, "push", 0, 'regions=["us-east-1"]\nready=true\n'),
            ({"REGIONS": "us-east-1, us-east-2"}, "push", 0, 'regions=["us-east-1","us-east-2"]\nready=true\n'),
            ({"REGION": ""}, "push", 0, ""),
            ({"REGION": ""}, "workflow_dispatch", 1, ""),
            ({"ROLE": "deploy"}, "workflow_dispatch", 1, ""),
        ):
            with self.subTest(changed=changed, event=event):
                result = self.run_step(
                    "deploy", "variables", "variables", {**complete, **changed, "EVENT": event}
                )
                self.assertEqual(result.returncode, code, result)
                self.assertEqual((self.folder / "output").read_text(), output)

    def test_an_artifact_is_deployed_only_from_a_run_of_deploy(self):
        run = {"path": ".github/workflows/deploy.yml@refs/heads/main", "head_sha": "abc"}
        for path, code in ((run["path"], 0), (".github/workflows/ci.yml@main", 1)):
            with self.subTest(path=path):
                result = self.run_step(
                    "deploy",
                    "tested",
                    "Wait for ci-pass",
                    {"ARTIFACT_RUN": "5", "GITHUB_SHA": "def"},
                    rules=[
                        {"words": ["actions/runs/5"], "out": json.dumps({**run, "path": path})},
                        {"words": ["ci.yml/runs?head_sha=abc"], "out": "7\n"},
                        {"words": ["runs/7/jobs"], "out": "success"},
                    ],
                )
                self.assertEqual(result.returncode, code, result)

    def test_each_stage_is_synthesized_in_each_region(self):
        (self.folder / "cdk.out").mkdir()
        environment = {"REGIONS": '["us-east-1","us-east-2"]', "PRODUCTION_ROLE": "p"}
        for staging, stages in (("", 1), ("s", 2)):
            with self.subTest(staging=staging):
                (self.folder / "calls").unlink(missing_ok=True)
                result = self.run_step(
                    "deploy",
                    "build",
                    "templates",
                    {**environment, "STAGING_ROLE": staging},
                    rules=[{"words": ["npm"]}],
                    cwd=self.folder,
                )
                self.assertEqual(result.returncode, 0, result)
                synthesized = [call for call in self.calls() if "run synth" in call]
                self.assertEqual(len(synthesized), 2 * stages)
                self.assertTrue((self.folder / "cdk.out.tar.gz").exists())

    def test_an_asset_with_a_program_is_not_deployed(self):
        for asset, code in (({"path": "a"}, 0), ({"executable": ["sh"]}, 1)):
            with self.subTest(asset=asset):
                folder = self.folder / "cdk.out/production/us-east-1"
                folder.mkdir(parents=True, exist_ok=True)
                document = {"files": {"1": {"source": asset}}}
                (folder / "Api.assets.json").write_text(json.dumps(document))
                subprocess.run(
                    ["tar", "-czf", "cdk.out.tar.gz", "cdk.out"], cwd=self.folder, check=True
                )
                result = self.run_step(
                    "deploy-stage",
                    "deploy",
                    "Unpack the artifact",
                    {"FOLDER": "cdk.out/production/us-east-1"},
                    cwd=self.folder,
                )
                self.assertEqual(result.returncode, code, result)

    def test_ci_pass_fails_unless_every_job_succeeded(self):
        for results, code in ((["success"], 0), (["success", "skipped"], 1), ([], 1)):
            with self.subTest(results=results):
                needs = {str(at): {"result": result} for at, result in enumerate(results)}
                result = self.run_step("ci", "ci-pass", "Every job", {"NEEDS": json.dumps(needs)})
                self.assertEqual(result.returncode, code, result)

    def run_step(self, workflow, job, name, environment, rules=(), cwd=CI.parent):
        """Runs the script of the only step of a job whose name or ID contains `name`."""
        document = YAML(typ="safe").load(WORKFLOWS / f"{workflow}.yml")
        (script,) = (
            step["run"]
            for step in document["jobs"][job]["steps"]
            if "run" in step and name in (step.get("id") or step["name"])
        )
        (self.folder / "rules").write_text(json.dumps(list(rules)))
        for file in ("output", "environment", "summary"):
            (self.folder / file).write_text("")
        runner = self.folder / "runner"
        runner.mkdir(exist_ok=True)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=cwd,
            env={
                "GITHUB_ENV": str(self.folder / "environment"),
                "GITHUB_OUTPUT": str(self.folder / "output"),
                "GITHUB_REPOSITORY": "octocat/games",
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                "INTERVAL": "0",
                "ATTEMPTS": "3",
                "PATH": f"{self.folder}:{os.environ['PATH']}",
                "RUNNER_TEMP": str(runner),
                **environment,
            },
            capture_output=True,
            text=True,
        )


# An API in a file: enough of it for .ci/smoke. FAILING is the request that gets 500.
CURL = """#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
folder = Path(__file__).parent
arguments = sys.argv[1:]
option = lambda name, default: arguments[arguments.index(name) + 1] if name in arguments else default
headers = [arguments[at + 1] for at, word in enumerate(arguments) if word == "-H"]
(key,) = [Path(header[1:]).read_text().strip() for header in headers if header.startswith("@")]
key = key.removeprefix("x-api-key: ")
(url,) = [word for word in arguments if word.startswith("http://api")]
method, path = option("-X", "GET"), url.removeprefix("http://api")
with open(folder / "requests", "a") as requests:
    print(*arguments, file=requests)
games = folder / "games"
saved = games.read_text() if games.exists() else ""
body = ""
if os.environ["FAILING"] == f"{method} {path}" + (" wrong" if key == "wrong" else ""):
    status = 500
elif key != "secret":
    status = 403
elif "content-type: text/plain" in headers:
    status = 415
elif method == "POST":
    games.write_text("7")
    status, body = 201, json.dumps({"id": "7"})
elif path == "/games/7" and saved:
    if method == "DELETE":
        games.write_text("")
    status, body = (204, "") if method == "DELETE" else (200, json.dumps({"id": "7"}))
elif path.startswith("/games?"):
    status, body = 200, "{}"
else:
    status = 404
Path(option("-o", "/dev/null")).write_text(body)
print(status, end="")
"""


if __name__ == "__main__":
    unittest.main()
