import assert from "node:assert/strict";
import { test } from "node:test";
import type { Template } from "aws-cdk-lib/assertions";
import { gatewayAnswers } from "../lib/gateway-responses.ts";
import { exampleFile } from "./support/example.ts";
import { found, only, Synthesis } from "./support/synthesis.ts";

const POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_AbCdEfGhI";

const table = gatewayAnswers(exampleFile("gateway-responses.json"));
const synthesis = new Synthesis();
const { api } = synthesis;

test("the gateway's answers come from the table that the demo's gateway reads", () => {
  const responses = responsesOf(api);
  assert.deepEqual([...responses.keys()].sort(), table.map(({ type }) => type).sort());
  for (const { type, status, title, detail, retryAfter } of table) {
    const { StatusCode, ResponseParameters, ResponseTemplates } = responses.get(type);
    assert.equal(StatusCode, status?.toString(), type);
    assert.equal(
      ResponseParameters["gatewayresponse.header.Retry-After"],
      retryAfter === undefined ? undefined : `'${retryAfter}'`,
      type,
    );
    const [mediaType, ...others] = Object.keys(ResponseTemplates);
    assert.equal(mediaType, "application/problem+json");
    assert.deepEqual(others, []);
    // API Gateway inserts this text with its quotes.
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

test("a caller who may retry gets Retry-After, and an unknown path is 404", () => {
  const responses = responsesOf(api);
  for (const [type, status, retryable] of [
    // The answer of a REST API for a throttled function.
    ["DEFAULT_5XX", "503", true],
    ["INTEGRATION_FAILURE", "503", true],
    ["THROTTLED", "429", true],
    ["QUOTA_EXCEEDED", "429", true],
    // The function may have saved a game.
    ["INTEGRATION_TIMEOUT", "504", false],
    ["MISSING_AUTHENTICATION_TOKEN", "404", false],
    ["UNSUPPORTED_MEDIA_TYPE", "415", false],
  ] as const) {
    const { StatusCode, ResponseParameters } = responses.get(type);
    assert.equal(StatusCode, status, type);
    assert.equal("gatewayresponse.header.Retry-After" in ResponseParameters, retryable, type);
  }
});

test("one setting adds IAM or a user pool; the key then only meters", () => {
  for (const [setting, type] of [
    ["iam", "AWS_IAM"],
    [POOL, "COGNITO_USER_POOLS"],
  ] as const) {
    const { api } = new Synthesis({ GAME_AUTHORIZER: setting });
    for (const { Properties } of Object.values(found(api, "AWS::ApiGateway::Method"))) {
      assert.equal(Properties.AuthorizationType, type);
      assert.equal(Properties.ApiKeyRequired, true);
    }
  }
});

test("with an authorizer the function answers 404 on unknown paths, and unsigned requests get 403", () => {
  const unsigned = table.find(({ type }) => type === "MISSING_AUTHENTICATION_TOKEN")?.signed;
  for (const [setting, paths, status] of [
    ["", ["games", "{id}"], 404],
    [POOL, ["games", "{id}", "{proxy+}"], 404],
    ["iam", ["games", "{id}", "{proxy+}"], unsigned?.status],
  ] as const) {
    const { api } = new Synthesis({ GAME_AUTHORIZER: setting });
    const resources = found(api, "AWS::ApiGateway::Resource");
    assert.deepEqual(
      Object.values(resources).map(({ Properties }) => Properties.PathPart),
      paths,
    );
    const missing = responsesOf(api).get("MISSING_AUTHENTICATION_TOKEN");
    assert.equal(missing.StatusCode, status?.toString(), setting);
    const catchAll = Object.values(found(api, "AWS::ApiGateway::Method")).filter(
      ({ Properties: { ResourceId } }) =>
        "Fn::GetAtt" in ResourceId || resources[ResourceId.Ref]?.Properties.PathPart === "{proxy+}",
    );
    assert.equal(catchAll.length, setting === "" ? 0 : 2, setting);
    for (const { Properties } of catchAll) {
      assert.equal(Properties.HttpMethod, "ANY");
      assert.equal(Properties.ApiKeyRequired, true);
      assert.notEqual(Properties.AuthorizationType, "NONE");
      assert.equal(Properties.Integration.Type, "AWS_PROXY");
    }
  }
  assert.equal(unsigned?.status, 403);
});

test("GAME_WEB_ACL=on adds a web ACL to the stage", () => {
  const { api } = new Synthesis({ GAME_WEB_ACL: "on" });
  const [acl, { Properties }] = only(api, "AWS::WAFv2::WebACL");
  const [, { Properties: association }] = only(api, "AWS::WAFv2::WebACLAssociation");
  assert.deepEqual(association.WebACLArn, { "Fn::GetAtt": [acl, "Arn"] });
  const [stage] = only(api, "AWS::ApiGateway::Stage");
  assert.ok(JSON.stringify(association.ResourceArn).includes(stage));
  for (const { VisibilityConfig } of [Properties, ...Properties.Rules]) {
    assert.equal(
      VisibilityConfig.SampledRequestsEnabled,
      false,
      "samples contain headers, so also keys",
    );
  }
  assert.deepEqual(synthesis.resources("AWS::WAFv2::WebACL"), []);
});

// biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape
function responsesOf(api: Template): { keys(): Iterable<string>; get(type: string): any } {
  return new Map(
    Object.values(found(api, "AWS::ApiGateway::GatewayResponse")).map(({ Properties }) => [
      Properties.ResponseType,
      Properties,
    ]),
  );
}
