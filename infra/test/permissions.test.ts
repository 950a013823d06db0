import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BOOTSTRAP,
  FRAMEWORK,
  found,
  functionOf,
  GAME,
  only,
  SWEEP,
  Synthesis,
} from "./support/synthesis.ts";

const SMOKE_TEST = "arn:aws:iam::123456789012:role/deploy";

// With the settings that add permissions.
const synthesis = new Synthesis({
  GAME_ALARM_EMAIL: "ops@example.com",
  GAME_SMOKE_TEST_ROLE_ARN: SMOKE_TEST,
});
const { functions, storage, api } = synthesis;

const TRACING = {
  Effect: "Allow",
  Action: ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
  Resource: "*",
};

test("the function may connect to the cluster, and write its log and traces", () => {
  assert.deepEqual(permissions(GAME), [connect("dsql:DbConnect"), log(GAME), TRACING]);
});

test("the sweep may connect to the cluster, and write its log and traces", () => {
  assert.deepEqual(permissions(SWEEP), [connect("dsql:DbConnect"), log(SWEEP), TRACING]);
});

test("the sweep is invoked by its rule alone", () => {
  const [sweep] = functionOf(functions, SWEEP);
  const [rule] = only(functions, "AWS::Events::Rule");
  const [, { Properties }] = only(functions, "AWS::Lambda::Permission");
  assert.deepEqual(Properties, {
    Action: "lambda:InvokeFunction",
    FunctionName: { "Fn::GetAtt": [sweep, "Arn"] },
    Principal: "events.amazonaws.com",
    SourceArn: { "Fn::GetAtt": [rule, "Arn"] },
  });
});

test("the bootstrap may connect as admin, and write its log and traces", () => {
  assert.deepEqual(permissions(BOOTSTRAP), [
    connect("dsql:DbConnectAdmin"),
    log(BOOTSTRAP),
    TRACING,
  ]);
});

test("the bootstrap's caller may call the bootstrap, and write its log", () => {
  const [bootstrap] = functionOf(functions, BOOTSTRAP);
  assert.deepEqual(permissions(FRAMEWORK), [
    {
      Effect: "Allow",
      Action: ["lambda:GetFunction", "lambda:InvokeFunction"],
      Resource: { "Fn::GetAtt": [bootstrap, "Arn"] },
    },
    log(FRAMEWORK),
  ]);
});

test("AWS Backup alone reads the cluster, by its own policy", () => {
  const [, { Properties }] = only(storage, "AWS::IAM::Role");
  assert.deepEqual(Properties.AssumeRolePolicyDocument.Statement[0].Principal, {
    Service: "backup.amazonaws.com",
  });
  assert.match(
    JSON.stringify(Properties.ManagedPolicyArns),
    /:iam::aws:policy\/service-role\/AWSBackupServiceRolePolicyForBackup"/,
  );
  assert.equal(Properties.Policies, undefined);
});

test("there are no other roles, and nothing is added to these", () => {
  assert.equal(synthesis.resources("AWS::IAM::Role").length, 5);
  const roles = Object.values(found(functions, "AWS::IAM::Role"));
  assert.equal(roles.length, 4);
  for (const { Properties } of roles) {
    assert.equal(Properties.ManagedPolicyArns, undefined);
    assert.deepEqual(Properties.AssumeRolePolicyDocument.Statement, [
      {
        Effect: "Allow",
        Action: "sts:AssumeRole",
        Principal: { Service: "lambda.amazonaws.com" },
      },
    ]);
  }
  for (const type of ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"]) {
    assert.deepEqual(synthesis.resources(type), []);
  }
});

test("traces alone are sent to every resource, and no action is a pattern", () => {
  const statements = synthesis.templates.flatMap((template) => policies(template.toJSON()));
  assert.equal(statements.length, 11 + 5 + 3);
  for (const { Action, Resource } of statements) {
    assert.doesNotMatch(JSON.stringify(Action), /\*/);
    if (JSON.stringify(Resource ?? null).includes("*")) {
      assert.deepEqual(Action, TRACING.Action);
    }
  }
});

test("the API may call the function by its own methods", () => {
  const methods = Object.values(found(api, "AWS::ApiGateway::Method"));
  const calls = Object.values(found(api, "AWS::Lambda::Permission"));
  const sources = calls.map(({ Properties }) => {
    const { Action, Principal, FunctionName, SourceArn } = Properties;
    assert.equal(Action, "lambda:InvokeFunction");
    assert.equal(Principal, "apigateway.amazonaws.com");
    const [live] = only(functions, "AWS::Lambda::Alias");
    assert.deepEqual(synthesis.imported(FunctionName), { Ref: live });
    return SourceArn["Fn::Join"][1].at(-1);
  });
  assert.equal(methods.length, 7);
  assert.deepEqual(sources.sort(), [
    "/*/games",
    "/*/games/*",
    "/DELETE/games/*",
    "/GET/games",
    "/GET/games/*",
    "/POST/games",
    "/PUT/games/*",
  ]);
});

test("only a function in a VPC may create network interfaces", () => {
  const vpc = new Synthesis({
    GAME_VPC_ID: "vpc-0123456789abcdef0",
    GAME_SUBNET_IDS: "subnet-0123456789abcdef0",
  });
  for (const [{ functions }, interfaces] of [
    [synthesis, 0],
    [vpc, 3],
  ] as const) {
    const roles = Object.values(found(functions, "AWS::IAM::Role")).filter((role) =>
      JSON.stringify(role).includes("ec2:CreateNetworkInterface"),
    );
    assert.equal(roles.length, interfaces);
  }
});

test("every role has the permissions boundary that was named", () => {
  const boundary = "arn:aws:iam::123456789012:policy/boundary";
  const bounded = new Synthesis({ GAME_PERMISSIONS_BOUNDARY_ARN: boundary });
  const roles = bounded.resources("AWS::IAM::Role");
  assert.equal(roles.length, 5);
  for (const { Properties } of roles) {
    assert.equal(Properties.PermissionsBoundary, boundary);
  }
});

test("only the smoke test's role may read the value of the key", () => {
  const [secret] = only(api, "AWS::SecretsManager::Secret");
  const [, policy] = only(api, "AWS::SecretsManager::ResourcePolicy");
  assert.deepEqual(policy.Properties.SecretId, { Ref: secret });
  assert.deepEqual(policy.Properties.ResourcePolicy.Statement, [
    {
      Effect: "Allow",
      Action: "secretsmanager:GetSecretValue",
      Principal: { AWS: SMOKE_TEST },
      Resource: { Ref: secret },
    },
  ]);
  assert.deepEqual(new Synthesis().resources("AWS::SecretsManager::ResourcePolicy"), []);
});

/** Returns what a function's role allows. */
function permissions(description: RegExp): unknown {
  const [, { Properties }] = functionOf(functions, description);
  const { [Properties.Role["Fn::GetAtt"][0]]: role } = found(functions, "AWS::IAM::Role");
  const [policy, ...others] = role?.Properties.Policies ?? [];
  assert.deepEqual(others, []);
  return policy.PolicyDocument.Statement;
}

function connect(action: string): unknown {
  const [cluster] = only(storage, "AWS::DSQL::Cluster");
  const outputs = Object.values(storage.findOutputs("*"));
  const arn = outputs.find(
    ({ Value, Export }) =>
      Export &&
      JSON.stringify(Value) === JSON.stringify({ "Fn::GetAtt": [cluster, "ResourceArn"] }),
  );
  return { Effect: "Allow", Action: action, Resource: { "Fn::ImportValue": arn?.["Export"].Name } };
}

function log(description: RegExp): unknown {
  const [, { Properties }] = functionOf(functions, description);
  return {
    Effect: "Allow",
    Action: ["logs:CreateLogStream", "logs:PutLogEvents"],
    Resource: { "Fn::GetAtt": [Properties.LoggingConfig.LogGroup.Ref, "Arn"] },
  };
}

interface Statement {
  readonly Action: unknown;
  readonly Resource?: unknown;
}

/** Returns the statements of all policies, wherever they are. */
function policies(part: unknown): readonly Statement[] {
  if (typeof part !== "object" || part === null) {
    return [];
  }
  const statements = "Statement" in part ? (part.Statement as readonly Statement[]) : [];
  return [...statements, ...Object.values(part).flatMap(policies)];
}
