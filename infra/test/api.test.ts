import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { MockIntegration } from "aws-cdk-lib/aws-apigateway";
import { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { GameApi } from "../lib/game-api.ts";
import { OpenApi } from "../lib/openapi.ts";
import { exampleFile } from "./support/example.ts";
import { found, only, Synthesis } from "./support/synthesis.ts";

const synthesis = new Synthesis();
const { api } = synthesis;
const methods = Object.values(found(api, "AWS::ApiGateway::Method"));

test("every method requires a key and validates its requests", () => {
  const [validator, { Properties: validation }] = only(api, "AWS::ApiGateway::RequestValidator");
  assert.equal(validation.ValidateRequestBody, true);
  assert.equal(validation.ValidateRequestParameters, true);
  assert.equal(methods.length, 7);
  for (const { Properties } of methods) {
    assert.equal(Properties.ApiKeyRequired, true);
    assert.deepEqual(Properties.RequestValidatorId, { Ref: validator });
  }
});

test("a method that is added later requires a key, too", () => {
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

test("no method answers CORS preflight requests", () => {
  for (const { Properties } of methods) {
    assert.notEqual(Properties.HttpMethod, "OPTIONS");
  }
  assert.doesNotMatch(JSON.stringify(api.toJSON()), /Access-Control-Allow/);
});

test("every operation of the document has its method, its parameters and its model", () => {
  const document = new OpenApi(exampleFile("openapi.json"));
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

test("the gateway requires no header: the function names the missing one and what to send", () => {
  for (const { Properties } of methods) {
    for (const [name, required] of Object.entries(Properties.RequestParameters ?? {})) {
      assert.equal(required, name.startsWith("method.request.path."), name);
    }
  }
});

test("a body of any content type is checked against the model", () => {
  const withBody = methods.filter(({ Properties }) => Properties.RequestModels);
  assert.deepEqual(withBody.map(({ Properties }) => Properties.HttpMethod).sort(), ["POST", "PUT"]);
  for (const { Properties } of withBody) {
    const { "application/json": json, $default, ...others } = Properties.RequestModels;
    assert.deepEqual($default, json);
    assert.deepEqual(others, {});
  }
});

test("the models come from the document, without its patterns", () => {
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

test("the access log has nothing that may hold a key", () => {
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
  // The first is in the answer and in the function's log, the second in Lambda's own lines.
  for (const id of ["requestId", "integration.requestId", "xrayTraceId"]) {
    assert.ok(variables.includes(`$context.${id}`), id);
  }
  const [all] = Properties.MethodSettings;
  assert.equal(all.LoggingLevel, "OFF");
  assert.equal(all.DataTraceEnabled, false);
});

test("the endpoint accepts TLS 1.2 and later, traces, and changes no setting of the account", () => {
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

test("the outputs have the names that the docs and the workflows use", () => {
  assert.deepEqual(Object.keys(api.findOutputs("*")).sort(), [
    "AlarmTopicArn",
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
