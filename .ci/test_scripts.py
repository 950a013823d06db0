"""Runs the scripts of a deployment against programs that play gh and aws."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

CI = Path(__file__).parent

# Answers by the first rule whose words are all in the command line. A rule is used once, the last
# one that fits for ever, and every command line is noted.
PLAYER = """#!/usr/bin/env python3
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
    sys.exit(f"nobody expected {line}")
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
        for name in ("gh", "aws", "cdk"):
            program = self.folder / name
            program.write_text(PLAYER)
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
        self.assertNotEqual(self.run_script("rollback", "prod", "$LATEST", rules=rules).returncode, 0)


if __name__ == "__main__":
    unittest.main()
