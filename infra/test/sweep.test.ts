import assert from "node:assert/strict";
import { test } from "node:test";
import { functionOf, only, SWEEP, Synthesis } from "./support/synthesis.ts";

const { functions } = new Synthesis();
const [sweep, { Properties, DependsOn = [] }] = functionOf(functions, SWEEP);

test("a rule invokes the sweep once a day", () => {
  const [, { Properties: rule }] = only(functions, "AWS::Events::Rule");
  assert.equal(rule.State, "ENABLED");
  assert.equal(rule.ScheduleExpression, "cron(30 4 * * ? *)");
  const [target, ...others] = rule.Targets;
  assert.deepEqual(target.Arn, { "Fn::GetAtt": [sweep, "Arn"] });
  assert.deepEqual(others, []);
});

test("the sweep connects as a role of its own, which the bootstrap creates before", () => {
  const { DSQL_ENDPOINT: _, ...variables } = Properties.Environment.Variables;
  assert.deepEqual(variables, {
    DSQL_APPLICATION_NAME: "sweep",
    DSQL_SEARCH_PATH: "games",
    DSQL_USER: "game_sweeper",
  });
  const [run] = only(functions, "Custom::Bootstrap");
  assert.ok(DependsOn.includes(run), `${sweep} depends on ${DependsOn}`);
});

test("the sweep takes no copies from the function", () => {
  assert.equal(Properties.ReservedConcurrentExecutions, undefined);
  assert.equal(Properties.MemorySize, 128);
});
