import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { found, Synthesis } from "./support/synthesis.ts";

const DEPLOY = readFileSync(new URL("../../docs/deploy.md", import.meta.url), "utf8");
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const SETTINGS = readFileSync(new URL("../lib/settings.ts", import.meta.url), "utf8");
const WORKFLOW = readFileSync(
  new URL("../../.github/workflows/deploy.yml", import.meta.url),
  "utf8",
);

test("the docs show how to read the account's unreserved concurrency", () => {
  assert.match(DEPLOY, /get-account-settings --query AccountLimit\.UnreservedConcurrentExecutions/);
});

test("the docs install the packages before they call the CLI", () => {
  const order = ["npm --prefix infra ci", "infra/node_modules/.bin/cdk bootstrap"].map((text) =>
    DEPLOY.indexOf(text),
  );
  assert.ok(order.every((at) => at >= 0));
  assert.deepEqual(
    [...order].sort((one, other) => one - other),
    order,
  );
});

test("every setting is documented, and passed on by the workflow", () => {
  const read = new Set([...SETTINGS.matchAll(/"(GAME_[A-Z_]+)"/g)].map(([, name = ""]) => name));
  assert.ok(read.size > 15);
  for (const name of read) {
    assert.ok(README.includes(`\`${name}\``), `README.md does not name ${name}`);
    if (!["GAME_ARCHITECTURE", "GAME_ASSETS"].includes(name)) {
      assert.match(WORKFLOW, new RegExp(`^ +(${name}: \\$\\{\\{ vars\\.|.*${name}=)`, "m"), name);
    }
  }
  const documented = [...README.matchAll(/^\| (`GAME_.*?`) +\|/gm)].flatMap(([, names = ""]) => [
    ...names.matchAll(/GAME_[A-Z_]+/g),
  ]);
  for (const [name] of documented) {
    assert.ok(read.has(name), `nothing reads ${name}`);
  }
});

test("main requires ci-pass and a review, and version tags stay", () => {
  const [main, tags, ...others] = [...DEPLOY.matchAll(/<<'END'\n(.*?)\nEND\n/gs)].map(
    ([, text = ""]) => JSON.parse(text),
  );
  assert.deepEqual(others, []);
  const rules = new Map<string, { parameters: Record<string, unknown> }>(
    main.rules.map((rule: { type: string }) => [rule.type, rule]),
  );
  const checks = rules.get("required_status_checks")?.parameters;
  assert.deepEqual(checks?.["required_status_checks"], [{ context: "ci-pass" }]);
  const review = rules.get("pull_request")?.parameters;
  assert.equal(review?.["required_approving_review_count"], 1);
  assert.equal(review?.["require_last_push_approval"], true);
  assert.ok(rules.has("non_fast_forward") && rules.has("deletion"));
  assert.deepEqual(tags.conditions.ref_name.include, ["refs/tags/v*"]);
  assert.deepEqual(
    tags.rules.map(({ type }: { type: string }) => type),
    ["deletion", "update"],
  );
});

test("nobody approves the deployment that they started", () => {
  const [, branches = ""] = /^\$ BRANCHES='(.*)'$/m.exec(DEPLOY) ?? [];
  const environments = [...DEPLOY.matchAll(/^\$ environment (\w+) <<<"(.*)"$/gm)].map(
    ([, name, text = ""]) => [
      name,
      JSON.parse(
        text.replaceAll('\\"', '"').replace("$BRANCHES", branches).replace("$REVIEWERS", "7"),
      ),
    ],
  );
  const deployment_branch_policy = { protected_branches: false, custom_branch_policies: true };
  assert.deepEqual(Object.fromEntries(environments), {
    plan: { deployment_branch_policy },
    staging: { deployment_branch_policy },
    production: {
      reviewers: [{ type: "User", id: 7 }],
      prevent_self_review: true,
      deployment_branch_policy,
    },
  });
});

test("every alarm is explained", () => {
  const { api } = new Synthesis();
  const named = [...DEPLOY.matchAll(/^\| (\w+) \|/gm)].map(([, name]) => name);
  for (const id of Object.keys(found(api, "AWS::CloudWatch::Alarm"))) {
    const [, alarm] = /^Alarms(\w+)[0-9A-F]{8}$/.exec(id) ?? [];
    assert.ok(named.includes(alarm), `deploy.md does not explain the alarm ${alarm}`);
  }
});

test("every file that the documents link to exists", () => {
  for (const [text, base] of [
    [DEPLOY, "../../docs/"],
    [README, "../"],
  ] as const) {
    for (const [, path = ""] of text.matchAll(/\]\((?!https:|#)([^)#]+)/g)) {
      assert.ok(existsSync(new URL(base + path, import.meta.url)), path);
    }
  }
});
