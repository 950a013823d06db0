import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { only } from "./support/synthesis.ts";

const template = Template.fromStack(included("../github-oidc.yaml"));
const [, { Properties: role }] = only(template, "AWS::IAM::Role");

test("one repository and environment may take the role on, by equality", () => {
  const provider = {
    "Fn::Sub":
      "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com",
  };
  assert.deepEqual(role.AssumeRolePolicyDocument.Statement, [
    {
      Effect: "Allow",
      Action: "sts:AssumeRoleWithWebIdentity",
      Principal: {
        Federated: { "Fn::If": ["MakeProvider", { "Fn::GetAtt": "Provider.Arn" }, provider] },
      },
      Condition: {
        StringEquals: {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
          "token.actions.githubusercontent.com:sub": {
            "Fn::Sub": "${SubjectPrefix}:environment:${Environment}",
          },
        },
      },
    },
  ]);
});

test("the role may take on the bootstrap's roles for stacks and files, and nothing else", () => {
  const bootstrapRole = (name: string) => ({
    "Fn::Sub": `arn:\${AWS::Partition}:iam::\${AWS::AccountId}:role/cdk-\${BootstrapQualifier}-${name}-role-\${AWS::AccountId}-\${AWS::Region}`,
  });
  const [{ PolicyDocument }, ...others] = role.Policies;
  assert.deepEqual(PolicyDocument.Statement, [
    {
      Effect: "Allow",
      Action: "sts:AssumeRole",
      Resource: [bootstrapRole("deploy"), bootstrapRole("file-publishing")],
    },
  ]);
  assert.deepEqual(others, []);
  assert.equal(role.ManagedPolicyArns, undefined);
});

test("parameters take one repository and environment, and no pattern", () => {
  for (const [parameter, good, bad] of [
    [
      "SubjectPrefix",
      ["repo:octocat/my-repo", "repo:octocat@123456/my-repo@456789"],
      [
        "repo:octocat/*",
        "repo:*/*",
        "repo:octocat",
        "octocat/my-repo",
        "repo:o/r:ref:refs/heads/main",
      ],
    ],
    ["Environment", ["production"], ["*", "prod?", "a:b", ""]],
    ["BootstrapQualifier", ["hnb659fds"], ["*", ""]],
  ] as const) {
    const { [parameter]: found } = template.findParameters(parameter);
    const allowed = new RegExp(found?.["AllowedPattern"]);
    for (const value of good) {
      assert.match(value, allowed);
    }
    for (const value of bad) {
      assert.doesNotMatch(value, allowed);
    }
  }
});

test("the provider is made unless the account has it, and stays for who else relies on it", () => {
  template.templateMatches({
    Conditions: { MakeProvider: { "Fn::Equals": [{ Ref: "ExistingProvider" }, "no"] } },
  });
  const [, provider] = only(template, "AWS::IAM::OIDCProvider");
  assert.equal((provider as { Condition?: string }).Condition, "MakeProvider");
  assert.equal(provider.DeletionPolicy, "Retain");
  assert.deepEqual(provider.Properties, {
    Url: "https://token.actions.githubusercontent.com",
    ClientIdList: ["sts.amazonaws.com"],
  });
});

test("API Gateway alone writes logs with its role", () => {
  const logs = Template.fromStack(included("../api-gateway-logs.yaml"));
  const [id, { Properties, DeletionPolicy }] = only(logs, "AWS::IAM::Role");
  const [{ Principal }, ...others] = Properties.AssumeRolePolicyDocument.Statement;
  assert.deepEqual(Principal, { Service: "apigateway.amazonaws.com" });
  assert.deepEqual(others, []);
  assert.equal(DeletionPolicy, "Retain");
  const [, { Properties: setting }] = only(logs, "AWS::ApiGateway::Account");
  assert.deepEqual(setting, { CloudWatchRoleArn: { "Fn::GetAtt": `${id}.Arn` } });
});

/** Reads a template as CloudFormation would. */
function included(path: string): Stack {
  const stack = new Stack(new App(), "Included");
  new CfnInclude(stack, "Template", {
    templateFile: new URL(path, import.meta.url).pathname,
  });
  return stack;
}
