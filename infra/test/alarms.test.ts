import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { found, functionOf, GAME, only, SWEEP, Synthesis } from "./support/synthesis.ts";

const synthesis = new Synthesis({ GAME_ALARM_EMAIL: "ops@example.com" });
const { api, functions, storage } = synthesis;

test("there are alarms for errors, latency, throttles, connections, the sweep and the cluster", () => {
  const [game] = functionOf(functions, GAME);
  const [sweep] = functionOf(functions, SWEEP);
  const [topic] = only(api, "AWS::SNS::Topic");
  const [cluster] = only(storage, "AWS::DSQL::Cluster");
  const alarms = Object.values(found(api, "AWS::CloudWatch::Alarm")).map(({ Properties }) => {
    assert.deepEqual(Properties.AlarmActions, [{ Ref: topic }]);
    assert.deepEqual(Properties.OKActions, [{ Ref: topic }]);
    // An API without traffic is healthy.
    assert.equal(Properties.TreatMissingData, "notBreaching");
    const metrics = Properties.Metrics?.flatMap(({ MetricStat }: { MetricStat?: unknown }) =>
      MetricStat ? [MetricStat] : [],
    ) ?? [{ Metric: Properties, Stat: Properties.Statistic ?? Properties.ExtendedStatistic }];
    return metrics.map(({ Metric, Stat }: { Metric: MetricProperties; Stat: string }) => {
      const [{ Value: dimension = undefined } = {}] = Metric.Dimensions ?? [];
      const imported = JSON.stringify(dimension)?.includes("Fn::ImportValue");
      return [Metric.MetricName, Stat, imported ? synthesis.imported(dimension) : dimension];
    });
  });
  const identifier = { "Fn::GetAtt": [cluster, "Identifier"] };
  const [refusals] = Object.values(found(functions, "AWS::Logs::MetricFilter"))
    .map(({ Properties }) => Properties.MetricTransformations[0].MetricName)
    .filter((name) => name.endsWith("Refusals"));
  assert.deepEqual(alarms, [
    [["5XXError", "Sum", "generate-game-prod"]],
    [
      ["4XXError", "Sum", "generate-game-prod"],
      ["Count", "Sum", "generate-game-prod"],
    ],
    [["Latency", "p99", "generate-game-prod"]],
    [["Throttles", "Sum", { Ref: game }]],
    [[refusals, "Sum", undefined]],
    [["db.client.connection.wait_time", "p99", { Ref: game }]],
    [["dsql.connects", "Sum", { Ref: game }]],
    [["dsql.lost_commits", "Sum", { Ref: game }]],
    [["QueryTimeouts", "Sum", identifier]],
    [
      ["OccConflicts", "Sum", identifier],
      ["TotalTransactions", "Sum", identifier],
    ],
    [["AsyncEventsDropped", "Sum", { Ref: sweep }]],
    [["TotalDPU", "Sum", identifier]],
  ]);
});

test("a percentage needs 20 requests before its alarm counts", () => {
  const expressions = Object.values(found(api, "AWS::CloudWatch::Alarm")).flatMap(
    ({ Properties }) =>
      (Properties.Metrics ?? []).flatMap(({ Expression }: { Expression?: string }) =>
        Expression ? [Expression] : [],
      ),
  );
  assert.equal(expressions.length, 2);
  for (const expression of expressions) {
    assert.match(expression, /^IF\((requests|transactions) >= 20, .*, 0\)$/);
  }
});

test("there is always a topic, and GAME_ALARM_EMAIL subscribes to it", () => {
  const nobody = new Synthesis().api;
  for (const template of [api, nobody]) {
    const [topic] = only(template, "AWS::SNS::Topic");
    template.hasOutput("AlarmTopicArn", { Value: { Ref: topic } });
    const [, { Properties }] = only(template, "AWS::SNS::TopicPolicy");
    const [plain, alarms] = Properties.PolicyDocument.Statement;
    assert.equal(plain.Effect, "Deny");
    assert.deepEqual(plain.Condition, { Bool: { "aws:SecureTransport": "false" } });
    const { Sid: _, ...allowed } = alarms;
    assert.deepEqual(allowed, {
      Effect: "Allow",
      Action: "sns:Publish",
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Resource: { Ref: topic },
      Condition: { StringEquals: { "aws:SourceAccount": { Ref: "AWS::AccountId" } } },
    });
  }
  const [, { Properties: subscription }] = only(api, "AWS::SNS::Subscription");
  assert.equal(subscription.Endpoint, "ops@example.com");
  assert.deepEqual(found(nobody, "AWS::SNS::Subscription"), {});
});

test("a budget notifies the topic", () => {
  const { api } = new Synthesis({ GAME_MONTHLY_BUDGET_USD: "20" });
  const [topic] = only(api, "AWS::SNS::Topic");
  const [, { Properties }] = only(api, "AWS::Budgets::Budget");
  assert.deepEqual(Properties.Budget.BudgetLimit, { Amount: 20, Unit: "USD" });
  assert.deepEqual(Properties.Budget.CostFilters, { TagKeyValue: ["user:stage$prod"] });
  for (const { Subscribers } of Properties.NotificationsWithSubscribers) {
    assert.deepEqual(Subscribers, [{ SubscriptionType: "SNS", Address: { Ref: topic } }]);
  }
  assert.deepEqual(synthesis.resources("AWS::Budgets::Budget"), []);
});

test("the dashboard shows the API, the function, its connections and the cluster", () => {
  const [, { Properties }] = only(api, "AWS::CloudWatch::Dashboard");
  const body = JSON.stringify(Properties.DashboardBody);
  for (const metric of [
    ...["Count", "4XXError", "5XXError", "Latency"],
    ...["ConcurrentExecutions", "Throttles", "Errors"],
    ...["-Refusals", "-Retried", "wait_time", "create_time"],
    ...["dsql.connects", "dsql.retries", "dsql.lost_commits"],
    ...["TotalTransactions", "OccConflicts", "TotalDPU", "QueryTimeouts", "CommitLatency"],
  ]) {
    assert.ok(body.includes(`${metric}\\"`) || body.includes(`${metric}\\\\"`), metric);
  }
});

test("the metrics of the pool are those that the program writes", () => {
  const program = readFileSync(
    new URL("../../examples/generate-game/src/emf.rs", import.meta.url),
    "utf8",
  );
  const pool = Object.values(found(api, "AWS::CloudWatch::Alarm"))
    .flatMap(({ Properties }) => Properties.Metrics ?? [])
    .flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : []))
    .filter(({ Namespace, Dimensions }) => Namespace === "GenerateGame" && Dimensions);
  assert.equal(pool.length, 3);
  for (const { MetricName, Dimensions } of pool) {
    assert.ok(program.includes(`"${MetricName}"`), MetricName);
    for (const { Name } of Dimensions) {
      assert.ok(program.includes(`"${Name}"`), Name);
    }
  }
});

interface MetricProperties {
  readonly MetricName: string;
  readonly Dimensions?: readonly { readonly Value: unknown }[];
}
