import assert from "node:assert/strict";
import { test } from "node:test";
import { Template } from "aws-cdk-lib/assertions";
import { included } from "./support/included.ts";
import { found, only } from "./support/synthesis.ts";

const template = Template.fromStack(included("../../github-oidc.yaml"));
const { DeployRole, PlanRole } = found(template, "AWS::IAM::Role");
const roles = [
  [DeployRole, "${SubjectPrefix}:environment:${Environment}"],
  [PlanRole, "${SubjectPrefix}:environment:${PlanEnvironment}"],
] as const;

test("one repository and environment may assume each role, by equality", () => {
  const provider = {
    "Fn::Sub":
      "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com",
  };
  for (const [role, subject] of roles) {
    assert.deepEqual(role?.Properties.AssumeRolePolicyDocument.Statement, [
      {
        Effect: "Allow",
        Action: "sts:AssumeRoleWithWebIdentity",
        Principal: {
          Federated: { "Fn::If": ["MakeProvider", { "Fn::GetAtt": "Provider.Arn" }, provider] },
        },
        Condition: {
          StringEquals: {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": { "Fn::Sub": subject },
          },
        },
      },
    ]);
  }
});

test("one role hands stacks and files to the bootstrap's roles and switches the alias, the other reads templates", () => {
  const bootstrapRole = (name: string) => ({
    "Fn::Sub": `arn:\${AWS::Partition}:iam::\${AWS::AccountId}:role/cdk-\${BootstrapQualifier}-${name}-role-\${AWS::AccountId}-\${AWS::Region}`,
  });
  const statements = roles.map(([role]) => {
    assert.equal(role?.Properties.ManagedPolicyArns, undefined);
    return role?.Properties.Policies.flatMap(
      ({ PolicyDocument }: { PolicyDocument: { Statement: unknown[] } }) =>
        PolicyDocument.Statement,
    );
  });
  const arn = (text: string) => ({ "Fn::Sub": `arn:\${AWS::Partition}:${text}` });
  assert.deepEqual(statements, [
    [
      {
        Effect: "Allow",
        Action: "sts:AssumeRole",
        Resource: [bootstrapRole("deploy"), bootstrapRole("file-publishing")],
      },
      {
        Effect: "Allow",
        Action: "cloudformation:DescribeStacks",
        Resource: arn("cloudformation:${AWS::Region}:${AWS::AccountId}:stack/GenerateGame-*"),
      },
      {
        Effect: "Allow",
        Action: ["lambda:GetAlias", "lambda:UpdateAlias"],
        Resource: arn("lambda:${AWS::Region}:${AWS::AccountId}:function:GenerateGame-*"),
      },
    ],
    [
      {
        Effect: "Allow",
        Action: "cloudformation:GetTemplate",
        Resource: arn("cloudformation:*:${AWS::AccountId}:stack/GenerateGame-*"),
      },
    ],
  ]);
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
    ["PlanEnvironment", ["plan"], ["*", "plan?", "a:b", ""]],
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

test("the provider is created unless it exists, and outlives the stack", () => {
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
  const logs = Template.fromStack(included("../../api-gateway-logs.yaml"));
  const [id, { Properties, DeletionPolicy }] = only(logs, "AWS::IAM::Role");
  const [{ Principal }, ...others] = Properties.AssumeRolePolicyDocument.Statement;
  assert.deepEqual(Principal, { Service: "apigateway.amazonaws.com" });
  assert.deepEqual(others, []);
  assert.equal(DeletionPolicy, "Retain");
  const [, { Properties: setting }] = only(logs, "AWS::ApiGateway::Account");
  assert.deepEqual(setting, { CloudWatchRoleArn: { "Fn::GetAtt": `${id}.Arn` } });
});

test("a key's policy allows the services that use the key", () => {
  const [, { Properties, DeletionPolicy }] = only(
    Template.fromStack(included("../../key.yaml")),
    "AWS::KMS::Key",
  );
  assert.equal(DeletionPolicy, "Retain");
  assert.equal(Properties.EnableKeyRotation, true);
  const services = Properties.KeyPolicy.Statement.flatMap(
    ({ Principal }: { Principal: { Service?: unknown } }) => [Principal.Service ?? []].flat(),
  );
  assert.deepEqual(services, [
    "dsql.amazonaws.com",
    "dsql.amazonaws.com",
    { "Fn::Sub": "logs.${AWS::Region}.amazonaws.com" },
    { "Fn::Sub": "logs.${AWS::Region}.amazonaws.com" },
    "cloudwatch.amazonaws.com",
    "budgets.amazonaws.com",
  ]);
  for (const { Principal, Condition } of Properties.KeyPolicy.Statement) {
    assert.ok(Condition || Principal.AWS, "a service uses the key for this account alone");
  }
  // execution-policy.yaml lets CloudFormation use no other one.
  assert.deepEqual(Properties.Tags, [{ Key: "application", Value: "generate-game" }]);
});
