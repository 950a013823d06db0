import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

const DEPLOY = readFileSync(new URL("../../docs/deploy.md", import.meta.url), "utf8");
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const SETTINGS = readFileSync(new URL("../lib/settings.ts", import.meta.url), "utf8");
const WORKFLOW = readFileSync(
  new URL("../../.github/workflows/deploy.yml", import.meta.url),
  "utf8",
);

test("the account's free concurrency is what reserving some needs", () => {
  assert.match(DEPLOY, /get-account-settings --query AccountLimit\.UnreservedConcurrentExecutions/);
});

test("the packages are there before the CLI that is one of them is called", () => {
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

test("every file that the documents link to is there", () => {
  for (const [text, base] of [
    [DEPLOY, "../../docs/"],
    [README, "../"],
  ] as const) {
    for (const [, path = ""] of text.matchAll(/\]\((?!https:|#)([^)#]+)/g)) {
      assert.ok(existsSync(new URL(base + path, import.meta.url)), path);
    }
  }
});
