import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { MockIntegration } from "aws-cdk-lib/aws-apigateway";
import { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { GameApi } from "../lib/game-api.ts";
import { found, functionOf, GAME, only, Synthesis } from "./support/synthesis.ts";

const synthesis = new Synthesis({ GAME_ALARM_EMAIL: "ops@example.com" });
const { api, functions } = synthesis;

test("every method wants a key and has its request validated", () => {
  const [validator, { Properties: validation }] = only(api, "AWS::ApiGateway::RequestValidator");
  assert.equal(validation.ValidateRequestBody, true);
  assert.equal(validation.ValidateRequestParameters, true);
  const methods = Object.values(found(api, "AWS::ApiGateway::Method"));
  assert.equal(methods.length, 3);
  for (const { Properties } of methods) {
    assert.equal(Properties.ApiKeyRequired, true);
    assert.deepEqual(Properties.RequestValidatorId, { Ref: validator });
  }
});

test("a method that is added later wants a key, too", () => {
  const stack = new Stack(new App(), "Later");
  const handler = LambdaFunction.fromFunctionName(stack, "Handler", "any");
  const { api } = new GameApi(stack, "Game", { handler, stageName: "test" });
  api.root.addResource("later").addMethod("DELETE", new MockIntegration());
  for (const { Properties } of Object.values(
    found(Template.fromStack(stack), "AWS::ApiGateway::Method"),
  )) {
    assert.equal(Properties.ApiKeyRequired, true);
  }
});

test("no method answers a browser's question for CORS", () => {
  for (const { Properties } of Object.values(found(api, "AWS::ApiGateway::Method"))) {
    assert.notEqual(Properties.HttpMethod, "OPTIONS");
  }
  assert.doesNotMatch(JSON.stringify(api.toJSON()), /Access-Control-Allow/);
});

test("a game is asked for by a title or nothing", () => {
  const [model, { Properties }] = only(api, "AWS::ApiGateway::Model");
  const { $schema: _, ...schema } = Properties.Schema;
  assert.deepEqual(schema, {
    type: "object",
    additionalProperties: false,
    properties: { title: { type: ["string", "null"], minLength: 1, maxLength: 100 } },
  });
  const posts = Object.values(found(api, "AWS::ApiGateway::Method")).filter(
    ({ Properties }) => Properties.HttpMethod === "POST",
  );
  assert.deepEqual(
    posts.map(({ Properties }) => Properties.RequestModels),
    [{ "application/json": { Ref: model } }],
  );
});

test("a key has a quota and a throttle, below that of the stage", () => {
  const [, { Properties: plan }] = only(api, "AWS::ApiGateway::UsagePlan");
  const [stage, { Properties }] = only(api, "AWS::ApiGateway::Stage");
  assert.deepEqual(plan.Quota, { Limit: 10_000, Period: "DAY" });
  assert.deepEqual(plan.Throttle, { RateLimit: 10, BurstLimit: 20 });
  assert.deepEqual(plan.ApiStages[0].Stage, { Ref: stage });
  const [all] = Properties.MethodSettings;
  assert.equal(all.HttpMethod + all.ResourcePath, "*/*");
  assert.ok(all.ThrottlingRateLimit > plan.Throttle.RateLimit);
  assert.ok(all.ThrottlingBurstLimit > plan.Throttle.BurstLimit);
});

test("the key's value is made and kept by Secrets Manager", () => {
  const [secret, { Properties }] = only(api, "AWS::SecretsManager::Secret");
  assert.deepEqual(Properties.GenerateSecretString, {
    PasswordLength: 40,
    ExcludePunctuation: true,
    IncludeSpace: false,
  });
  const [key, { Properties: value }] = only(api, "AWS::ApiGateway::ApiKey");
  assert.deepEqual(value.Value, {
    "Fn::Join": ["", ["{{resolve:secretsmanager:", { Ref: secret }, ":SecretString:::}}"]],
  });
  const [, { Properties: use }] = only(api, "AWS::ApiGateway::UsagePlanKey");
  assert.deepEqual(use.KeyId, { Ref: key });
  api.hasOutput("ApiKeyId", { Value: { Ref: key } });
  api.hasOutput("ApiKeySecretArn", { Value: { Ref: secret } });
});

test("another generation is another secret and another key", () => {
  const second = new Synthesis({ GAME_API_KEY_GENERATION: "2" });
  for (const type of ["AWS::SecretsManager::Secret", "AWS::ApiGateway::ApiKey"]) {
    assert.notEqual(only(second.api, type)[0], only(api, type)[0]);
  }
});

test("access is logged without what may hold a key", () => {
  const [, { Properties }] = only(api, "AWS::ApiGateway::Stage");
  const { DestinationArn, Format } = Properties.AccessLogSetting;
  const [log, group] = only(api, "AWS::Logs::LogGroup");
  assert.match(JSON.stringify(DestinationArn), new RegExp(`"Ref":"${log}"`));
  assert.equal(group.Properties.RetentionInDays, 90);
  assert.equal(group.DeletionPolicy, "Retain");
  const variables = Object.values(JSON.parse(Format)) as string[];
  assert.deepEqual(
    variables.filter((variable) => !HARMLESS.includes(variable)),
    [],
  );
  const [all] = Properties.MethodSettings;
  assert.equal(all.LoggingLevel, "OFF");
  assert.equal(all.DataTraceEnabled, false);
});

test("the endpoint takes TLS 1.2 and later, traces, and changes no setting of the account", () => {
  const [, { Properties }] = only(api, "AWS::ApiGateway::RestApi");
  assert.match(Properties.SecurityPolicy, /^SecurityPolicy_TLS13_1_[23]_/);
  assert.equal(Properties.EndpointAccessMode, "STRICT");
  assert.deepEqual(Properties.EndpointConfiguration.Types, ["REGIONAL"]);
  const [, { Properties: stage }] = only(api, "AWS::ApiGateway::Stage");
  assert.equal(stage.TracingEnabled, true);
  assert.deepEqual(found(api, "AWS::ApiGateway::Account"), {});
});

test("two stages share no metric", () => {
  const names = [synthesis, new Synthesis({ GAME_STAGE: "test" })].map(
    ({ api }) => only(api, "AWS::ApiGateway::RestApi")[1].Properties.Name,
  );
  assert.deepEqual(names, ["generate-game-prod", "generate-game-test"]);
});

test("an alarm tells of errors, slowness, throttles and refusals", () => {
  const [, { Properties: refusals }] = only(functions, "AWS::Logs::MetricFilter");
  const [game] = functionOf(functions, GAME);
  const [topic] = only(api, "AWS::SNS::Topic");
  const alarms = Object.values(found(api, "AWS::CloudWatch::Alarm")).map(({ Properties }) => {
    assert.deepEqual(Properties.AlarmActions, [{ Ref: topic }]);
    assert.equal(Properties.TreatMissingData, "notBreaching");
    const [{ Value: dimension = undefined } = {}] = Properties.Dimensions ?? [];
    return [
      Properties.MetricName ?? Properties.Metrics[0].MetricStat.Metric.MetricName,
      Properties.Statistic ?? Properties.ExtendedStatistic ?? Properties.Metrics[0].MetricStat.Stat,
      dimension?.["Fn::ImportValue"] ? synthesis.imported(dimension) : dimension,
    ];
  });
  assert.deepEqual(alarms, [
    ["5XXError", "Sum", "generate-game-prod"],
    ["Latency", "p99", "generate-game-prod"],
    ["Throttles", "Sum", { Ref: game }],
    [refusals.MetricTransformations[0].MetricName, "Sum", undefined],
  ]);
});

test("alarms reach the topic, and whoever was named", () => {
  const [topic] = only(api, "AWS::SNS::Topic");
  const [, { Properties: subscription }] = only(api, "AWS::SNS::Subscription");
  assert.equal(subscription.Endpoint, "ops@example.com");
  const [, { Properties }] = only(api, "AWS::SNS::TopicPolicy");
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
  assert.deepEqual(new Synthesis().resources("AWS::SNS::Topic"), []);
});

test("the outputs are those that others rely on", () => {
  assert.deepEqual(Object.keys(api.findOutputs("*")).sort(), [
    "ApiKeyId",
    "ApiKeySecretArn",
    "ApiUrl",
    "DashboardName",
  ]);
});

const HARMLESS = [
  "$context.error.responseType",
  "$context.httpMethod",
  "$context.identity.apiKeyId",
  "$context.identity.sourceIp",
  "$context.requestId",
  "$context.requestTimeEpoch",
  "$context.resourcePath",
  "$context.responseLatency",
  "$context.responseLength",
  "$context.status",
];
