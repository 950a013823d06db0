import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { REFUSALS } from "../lib/game-function.ts";
import { BOOTSTRAP, functionOf, GAME, SWEEP, Synthesis } from "./support/synthesis.ts";
import { VARIANTS } from "./support/variants.ts";

// The stacks and the programs share names that no compiler checks.

test("every reason that the alarm looks for is one that the crate logs", () => {
  const reasons = words(source("dsql-conn/src/reason.rs"));
  for (const reason of REFUSALS) {
    assert.ok(reasons.has(reason), `${reason} is no code of a Reason`);
  }
});

test("the alarm looks at the fields that the program logs", () => {
  const log = source("examples/generate-game/src/log.rs");
  assert.match(log, /\.json\(\)\s*\.flatten_event\(true\)/);
  assert.match(log, /tracing::error!\(reason,/);
});

test("every variable of the programs is one that they read", () => {
  const read = new Set([
    ...words(source("dsql-conn/src/config/environment.rs")),
    ...words(source("dsql-conn/src/config/pool.rs")),
    ...words(source("examples/generate-game/src/bootstrap/grantee.rs")),
    ...words(source("examples/generate-game/src/http.rs")),
  ]);
  const { functions } = new Synthesis(VARIANTS["multi-region"]);
  for (const program of [GAME, BOOTSTRAP, SWEEP]) {
    const [, { Properties }] = functionOf(functions, program);
    for (const name of Object.keys(Properties.Environment.Variables)) {
      assert.ok(read.has(name), `nothing reads ${name}`);
    }
  }
});

test("the bootstrap grants the sweeper the schema where the sweep looks for its table", () => {
  const [, { Properties }] = functionOf(new Synthesis().functions, SWEEP);
  const schema = Properties.Environment.Variables.DSQL_SEARCH_PATH;
  const [, table] =
    /OUTCOMES: Outcomes = Outcomes::table\("(\w+)"\)/.exec(
      source("examples/generate-game/src/store.rs"),
    ) ?? [];
  const bootstrap = source("examples/generate-game/src/bootstrap.rs");
  assert.ok(bootstrap.includes(`"SELECT, DELETE ON ${schema}.${table}"`), `${schema}.${table}`);
});

test("the search path is the schema that the bootstrap makes", () => {
  const [, { Properties }] = functionOf(new Synthesis().functions, GAME);
  const schema = Properties.Environment.Variables.DSQL_SEARCH_PATH;
  assert.match(
    source("examples/generate-game/schema/schema.sql"),
    new RegExp(`CREATE SCHEMA IF NOT EXISTS ${schema}\\b`),
  );
});

test("the program looks for the stage's variable of a caller", () => {
  const { api } = new Synthesis();
  const [stage] = Object.values(api.findResources("AWS::ApiGateway::Stage"));
  const [variable = ""] = Object.keys(stage?.["Properties"].Variables);
  const [, prefix] =
    /strip_prefix\("(\w+)"\)/.exec(source("examples/generate-game/src/caller.rs")) ?? [];
  assert.ok(prefix && variable.startsWith(prefix), `${variable} does not begin with ${prefix}`);
});

test("the program answers within its own setting", () => {
  const { functions } = new Synthesis();
  const [, { Properties }] = functionOf(functions, GAME);
  const [, seconds] =
    /ANSWER_WITHIN: Duration = Duration::from_secs\((\d+)\)/.exec(
      source("examples/generate-game/src/http.rs"),
    ) ?? [];
  const millis = Properties.Environment.Variables.GAME_ANSWER_WITHIN_MILLIS;
  assert.equal(Number(millis), Number(seconds) * 1_000);
  assert.ok(Number(seconds) < Properties.Timeout);
});

test("the API's limit of a title is the program's", () => {
  const [, longest] =
    /LONGEST_TITLE: usize = (\d+)/.exec(source("examples/generate-game/src/title.rs")) ?? [];
  const { api } = new Synthesis();
  const [model] = Object.values(api.findResources("AWS::ApiGateway::Model"));
  assert.equal(model?.["Properties"].Schema.properties.title.maxLength, Number(longest));
});

function source(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

/** Returns the string literals of a program that are one word. */
function words(program: string): Set<string> {
  return new Set([...program.matchAll(/"(\w+)"/g)].map(([, word = ""]) => word));
}
