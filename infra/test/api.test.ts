import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { MockIntegration } from "aws-cdk-lib/aws-apigateway";
import { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { GameApi } from "../lib/game-api.ts";
import { gatewayAnswers } from "../lib/gateway-responses.ts";
import { OpenApi } from "../lib/openapi.ts";
import { found, functionOf, GAME, only, Synthesis } from "./support/synthesis.ts";

const synthesis = new Synthesis({ GAME_ALARM_EMAIL: "ops@example.com" });
const { api, functions, storage } = synthesis;
const methods = Object.values(found(api, "AWS::ApiGateway::Method"));

test("every method wants a key and has its request validated", () => {
  const [validator, { Properties: validation }] = only(api, "AWS::ApiGateway::RequestValidator");
  assert.equal(validation.ValidateRequestBody, true);
  assert.equal(validation.ValidateRequestParameters, true);
  assert.equal(methods.length, 7);
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
  for (const { Properties } of methods) {
    assert.notEqual(Properties.HttpMethod, "OPTIONS");
  }
  assert.doesNotMatch(JSON.stringify(api.toJSON()), /Access-Control-Allow/);
});

test("every operation of the document has its method, its parameters and its model", () => {
  const document = new OpenApi(file("openapi.json"));
  const paths = new Map(
    Object.entries(found(api, "AWS::ApiGateway::Resource")).map(([id, { Properties }]) => [
      id,
      Properties.PathPart,
    ]),
  );
  const models = found(api, "AWS::ApiGateway::Model");
  const operations = methods.map(({ Properties }) => ({
    name: `${Properties.HttpMethod} ${paths.get(Properties.ResourceId.Ref)}`,
    parameters: Object.keys(Properties.RequestParameters ?? {}).map((name) =>
      name.replace("method.request.", ""),
    ),
    model: models[Properties.RequestModels?.["application/json"].Ref]?.Properties.Name,
  }));
  const documented = document.operations.map(({ method, path, parameters }) => ({
    name: `${method} ${path.split("/").at(-1)}`,
    parameters: Object.keys(parameters),
  }));
  assert.equal(documented.length, 5);
  for (const { name, parameters } of documented) {
    const method = operations.find((operation) => operation.name === name);
    assert.deepEqual(method?.parameters, parameters, name);
  }
  assert.deepEqual(
    operations.map(({ name }) => name).sort(),
    [...documented.map(({ name }) => name), "ANY games", "ANY {id}"].sort(),
  );
});

test("the gateway requires no header, because the function says which one is missing and what to send", () => {
  for (const { Properties } of methods) {
    for (const [name, required] of Object.entries(Properties.RequestParameters ?? {})) {
      assert.equal(required, name.startsWith("method.request.path."), name);
    }
  }
});

test("a body of any content type meets the model, so that none passes under another name", () => {
  const withBody = methods.filter(({ Properties }) => Properties.RequestModels);
  assert.deepEqual(withBody.map(({ Properties }) => Properties.HttpMethod).sort(), ["POST", "PUT"]);
  for (const { Properties } of withBody) {
    const { "application/json": json, $default, ...others } = Properties.RequestModels;
    assert.deepEqual($default, json);
    assert.deepEqual(others, {});
  }
});

test("the models come from the document, without what the gateway may read differently", () => {
  const schemas = Object.values(found(api, "AWS::ApiGateway::Model")).map(
    ({ Properties }) => Properties.Schema,
  );
  const $schema = "http://json-schema.org/draft-04/schema#";
  const [created, updated, ...others] = schemas;
  assert.deepEqual(created, {
    $schema,
    type: "object",
    additionalProperties: false,
    properties: { title: { type: ["string", "null"], minLength: 1, maxLength: 100 } },
  });
  assert.equal(updated.$schema, $schema);
  assert.deepEqual(updated.required, ["title", "genre", "players", "minutes"]);
  assert.deepEqual(updated.properties.players, { type: "integer", minimum: 1, maximum: 100 });
  assert.deepEqual(others, []);
});

test("the gateway answers by the table that the demo's gateway reads", () => {
  const table = gatewayAnswers(file("gateway-responses.json"));
  const responses = Object.values(found(api, "AWS::ApiGateway::GatewayResponse"));
  assert.deepEqual(
    responses.map(({ Properties }) => Properties.ResponseType).sort(),
    table.map(({ type }) => type).sort(),
  );
  for (const { type, status, title, detail, retryAfter } of table) {
    const response = responses.find(({ Properties }) => Properties.ResponseType === type);
    const { StatusCode, ResponseParameters, ResponseTemplates } = response?.Properties ?? {};
    assert.equal(StatusCode, status?.toString(), type);
    assert.equal(
      ResponseParameters["gatewayresponse.header.Retry-After"],
      retryAfter === undefined ? undefined : `'${retryAfter}'`,
      type,
    );
    const [mediaType, ...others] = Object.keys(ResponseTemplates);
    assert.equal(mediaType, "application/problem+json");
    assert.deepEqual(others, []);
    // What API Gateway puts there has quotes of its own.
    const body = ResponseTemplates["application/problem+json"].replace(
      "$context.error.messageString",
      '"Forbidden"',
    );
    assert.deepEqual(JSON.parse(body), {
      type: "about:blank",
      ...(title && { title }),
      ...(status && { status }),
      detail: detail ?? "Forbidden",
      request_id: "$context.requestId",
    });
  }
});

test("a caller who may come back is told when, and an unknown path is not found", () => {
  const answers = new Map(
    Object.values(found(api, "AWS::ApiGateway::GatewayResponse")).map(({ Properties }) => [
      Properties.ResponseType,
      [
        Properties.StatusCode,
        Properties.ResponseParameters["gatewayresponse.header.Retry-After"] !== undefined,
      ],
    ]),
  );
  for (const [type, answer] of [
    // What a throttled function looks like to a REST API.
    ["DEFAULT_5XX", ["503", true]],
    ["INTEGRATION_FAILURE", ["503", true]],
    ["THROTTLED", ["429", true]],
    ["QUOTA_EXCEEDED", ["429", true]],
    // It may have saved a game.
    ["INTEGRATION_TIMEOUT", ["504", false]],
    ["MISSING_AUTHENTICATION_TOKEN", ["404", false]],
    ["UNSUPPORTED_MEDIA_TYPE", ["415", false]],
  ] as const) {
    assert.deepEqual(answers.get(type), answer, type);
  }
});

test("one setting adds IAM or a user pool, and the key then meters only", () => {
  const pool = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_AbCdEfGhI";
  for (const [setting, type] of [
    ["iam", "AWS_IAM"],
    [pool, "COGNITO_USER_POOLS"],
  ] as const) {
    const { api } = new Synthesis({ GAME_AUTHORIZER: setting });
    for (const { Properties } of Object.values(found(api, "AWS::ApiGateway::Method"))) {
      assert.equal(Properties.AuthorizationType, type);
      assert.equal(Properties.ApiKeyRequired, true);
    }
  }
  // Then a request without a signature looks to the gateway like an unknown path.
  const signed = new Synthesis({ GAME_AUTHORIZER: "iam" }).api;
  const missing = Object.values(found(signed, "AWS::ApiGateway::GatewayResponse")).find(
    ({ Properties }) => Properties.ResponseType === "MISSING_AUTHENTICATION_TOKEN",
  );
  assert.equal(missing?.Properties.StatusCode, "403");
});

test("a web ACL stands before the stage if it is wanted", () => {
  const { api } = new Synthesis({ GAME_WEB_ACL: "on" });
  const [acl, { Properties }] = only(api, "AWS::WAFv2::WebACL");
  const [, { Properties: association }] = only(api, "AWS::WAFv2::WebACLAssociation");
  assert.deepEqual(association.WebACLArn, { "Fn::GetAtt": [acl, "Arn"] });
  const [stage] = only(api, "AWS::ApiGateway::Stage");
  assert.ok(JSON.stringify(association.ResourceArn).includes(stage));
  for (const { VisibilityConfig } of [Properties, ...Properties.Rules]) {
    assert.equal(VisibilityConfig.SampledRequestsEnabled, false, "samples hold keys");
  }
  assert.deepEqual(synthesis.resources("AWS::WAFv2::WebACL"), []);
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

test("a rotation has both keys, and the stage says that they are one caller", () => {
  const callers = (generations: string) => {
    const { api } = new Synthesis({ GAME_API_KEY_GENERATIONS: generations });
    const keys = Object.keys(found(api, "AWS::ApiGateway::ApiKey"));
    const admitted = Object.values(found(api, "AWS::ApiGateway::UsagePlanKey"));
    assert.deepEqual(
      admitted.map(({ Properties }) => Properties.KeyId.Ref),
      keys,
    );
    assert.equal(Object.keys(found(api, "AWS::SecretsManager::Secret")).length, keys.length);
    const [, { Properties: stage }] = only(api, "AWS::ApiGateway::Stage");
    assert.deepEqual(Object.keys(stage.Variables), ["caller_game"]);
    const ids = stage.Variables.caller_game;
    const references = ids.Ref ? [ids] : ids["Fn::Join"][1].filter((id: unknown) => id !== ",");
    assert.deepEqual(
      references.map(({ Ref }: { Ref: string }) => Ref),
      keys,
    );
    const { ApiKeyId } = api.findOutputs("*");
    assert.deepEqual(ApiKeyId?.["Value"], { Ref: keys.at(-1) }, "the output is the newest");
    return keys;
  };
  const [first, second, third] = [callers("1"), callers("1,2"), callers("2")];
  assert.deepEqual([...first, ...third], second);
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
  // The answer and the function's log have the first, Lambda's own lines the second.
  for (const id of ["requestId", "integration.requestId", "xrayTraceId"]) {
    assert.ok(variables.includes(`$context.${id}`), id);
  }
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

test("alarms tell of errors, slowness, throttles, refusals and the cluster", () => {
  const [game] = functionOf(functions, GAME);
  const [topic] = only(api, "AWS::SNS::Topic");
  const [cluster] = only(storage, "AWS::DSQL::Cluster");
  const alarms = Object.values(found(api, "AWS::CloudWatch::Alarm")).map(({ Properties }) => {
    assert.deepEqual(Properties.AlarmActions, [{ Ref: topic }]);
    assert.deepEqual(Properties.OKActions, [{ Ref: topic }]);
    // No traffic is no fault.
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
    [["QueryTimeouts", "Sum", identifier]],
    [
      ["OccConflicts", "Sum", identifier],
      ["TotalTransactions", "Sum", identifier],
    ],
    [["TotalDPU", "Sum", identifier]],
  ]);
});

test("a share of few requests wakes nobody up", () => {
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

test("there is always a topic, and whoever was named is subscribed", () => {
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

test("a budget tells the topic", () => {
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

test("a key of one's own encrypts the cluster, the logs, the secrets and the topic", () => {
  const key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  const encrypted = new Synthesis({ GAME_KMS_KEY_ARN: key });
  const [, { Properties: cluster }] = only(encrypted.storage, "AWS::DSQL::Cluster");
  assert.equal(cluster.KmsEncryptionKey, key);
  const [, { Properties: vault }] = only(encrypted.storage, "AWS::Backup::BackupVault");
  assert.equal(vault.EncryptionKeyArn, key);
  for (const { Properties } of encrypted.resources("AWS::Logs::LogGroup")) {
    assert.equal(Properties.KmsKeyId, key);
  }
  for (const { Properties } of encrypted.resources("AWS::SecretsManager::Secret")) {
    assert.equal(Properties.KmsKeyId, key);
  }
  const [, { Properties: topic }] = only(encrypted.api, "AWS::SNS::Topic");
  assert.equal(topic.KmsMasterKeyId, key);
  const plain = JSON.stringify(synthesis.templates.map((template) => template.toJSON()));
  assert.doesNotMatch(plain, /Kms|EncryptionKey/);
});

test("the outputs are those that others rely on", () => {
  assert.deepEqual(Object.keys(api.findOutputs("*")).sort(), [
    "AlarmTopicArn",
    "ApiKeyId",
    "ApiKeySecretArn",
    "ApiUrl",
    "DashboardName",
  ]);
});

function file(name: string): string {
  return new URL(`../../examples/generate-game/${name}`, import.meta.url).pathname;
}

interface MetricProperties {
  readonly MetricName: string;
  readonly Dimensions?: readonly { readonly Value: unknown }[];
}

const HARMLESS = [
  "$context.error.responseType",
  "$context.httpMethod",
  "$context.identity.apiKeyId",
  "$context.identity.sourceIp",
  "$context.integration.requestId",
  "$context.integrationLatency",
  "$context.integrationStatus",
  "$context.requestId",
  "$context.requestTimeEpoch",
  "$context.resourcePath",
  "$context.responseLatency",
  "$context.responseLength",
  "$context.status",
  "$context.xrayTraceId",
];
