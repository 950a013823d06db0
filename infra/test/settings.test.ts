import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Architecture } from "aws-cdk-lib/aws-lambda";
import { settings } from "../lib/settings.ts";
import { Synthesis } from "./support/synthesis.ts";

test("a Region is the only required setting", () => {
  const { assets, ...others } = settings({ AWS_REGION: "eu-central-1" });
  assert.match(assets, /\/target\/functions$/);
  assert.deepEqual(others, {
    region: "eu-central-1",
    account: undefined,
    stage: "prod",
    architecture: Architecture.ARM_64,
    alarmEmail: undefined,
    smokeTestRoleArn: undefined,
    reservedConcurrency: undefined,
    apiKeyGenerations: undefined,
    kmsKeyArn: undefined,
    multiRegion: undefined,
    existingCluster: undefined,
    peer: undefined,
    backupRetentionDays: 35,
    permissionsBoundary: undefined,
    network: undefined,
    authorizer: undefined,
    webAcl: false,
    monthlyBudget: undefined,
    faultInjection: false,
  });
});

test("the CLI's default does not count as a Region", () => {
  assert.throws(
    () => settings({ CDK_DEFAULT_REGION: "us-east-1" }),
    /^Error: AWS_REGION is missing/,
  );
  const agreed = { CDK_DEFAULT_REGION: "eu-west-1", AWS_REGION: "eu-west-1" };
  assert.equal(settings(agreed).region, "eu-west-1");
  assert.throws(
    () => settings({ CDK_DEFAULT_REGION: "eu-west-1", AWS_REGION: "us-east-1" }),
    /AWS_REGION is us-east-1, but the CDK CLI uses eu-west-1/,
  );
});

test("a forgotten Region is refused through the CLI, which would choose us-east-1 itself", () => {
  const program = "process.exit(process.env.CDK_DEFAULT_REGION === 'us-east-1' ? 86 : 0)";
  assert.match(cdk(["--app", `node -e "${program}"`]), /exited with error 86/);
  assert.match(cdk([]), /AWS_REGION is missing: name the Region to deploy to/);
});

test("production is backed up by default, other stages only if a retention is set", () => {
  for (const [environment, days] of [
    [{}, 35],
    [{ GAME_BACKUP_RETENTION_DAYS: "7" }, 7],
    [{ GAME_BACKUP_RETENTION_DAYS: "none" }, undefined],
    [{ GAME_STAGE: "staging" }, undefined],
    [{ GAME_STAGE: "staging", GAME_BACKUP_RETENTION_DAYS: "7" }, 7],
  ] as const) {
    const { backupRetentionDays } = settings({ AWS_REGION: "us-east-1", ...environment });
    assert.equal(backupRetentionDays, days);
  }
});

test("an empty variable counts as not set", () => {
  const environment = { AWS_REGION: "us-east-1" };
  const empty = Object.fromEntries(VARIABLES.map((name) => [name, ""]));
  assert.deepEqual(settings({ ...environment, ...empty }), settings(environment));
});

test("a missing or wrong setting is named with its remedy", () => {
  for (const [environment, says] of [
    [{ AWS_REGION: "" }, /^AWS_REGION is missing: name the Region/],
    [{ GAME_STAGE: "Prod 1" }, /^GAME_STAGE is Prod 1: write up to 16 of a-z/],
    [{ GAME_ARCHITECTURE: "arm" }, /^GAME_ARCHITECTURE is arm: write arm64 or x86_64/],
    [{ GAME_ALARM_EMAIL: "ops" }, /^GAME_ALARM_EMAIL is ops: write an address/],
    [{ GAME_RESERVED_CONCURRENCY: "few" }, /^GAME_RESERVED_CONCURRENCY is few: write a number/],
    [{ GAME_RESERVED_CONCURRENCY: "0" }, /^a reserved concurrency of 0: choose 1 to 1000/],
    [{ GAME_API_KEY_GENERATIONS: "b" }, /^GAME_API_KEY_GENERATIONS is b: write a number/],
    [{ GAME_API_KEY_GENERATIONS: "0" }, /^0 is no generation of an API key: count/],
    [{ GAME_API_KEY_GENERATIONS: "2,2" }, /^the API key generations 2, 2 repeat one/],
    [{ GAME_AUTHORIZER: "jwt" }, /^GAME_AUTHORIZER is jwt: write iam, or the ARN of a Cognito/],
    [{ GAME_BACKUP_RETENTION_DAYS: "0" }, /^a backup retention of 0 days: choose 1 or more/],
    [{ GAME_CLUSTER_ARN: CLUSTER }, /^GAME_CLUSTER_ENDPOINT and GAME_CLUSTER_ARN belong together/],
    [{ GAME_CLUSTER_ARN: "a", GAME_CLUSTER_ENDPOINT: "b" }, /^GAME_CLUSTER_ARN is a: write it/],
    [
      { GAME_CLUSTER_ARN: CLUSTER, GAME_CLUSTER_ENDPOINT: "b" },
      /^GAME_CLUSTER_ENDPOINT is b, which/,
    ],
    [{ GAME_MONTHLY_BUDGET_USD: "0" }, /^a monthly budget of 0 USD: choose 1 or more/],
    [{ GAME_PERMISSIONS_BOUNDARY_ARN: "boundary" }, /^GAME_PERMISSIONS_BOUNDARY_ARN is boundary/],
    [{ GAME_SUBNET_IDS: "subnet-1" }, /^GAME_VPC_ID and GAME_SUBNET_IDS belong together/],
    [{ GAME_FAULT_INJECTION: "yes" }, /^GAME_FAULT_INJECTION is yes: write on or off/],
    [{ GAME_WEB_ACL: "yes" }, /^GAME_WEB_ACL is yes: write on or off/],
    [{ GAME_KMS_KEY_ARN: "alias/mine" }, /^GAME_KMS_KEY_ARN is alias\/mine: write the ARN/],
    [{ GAME_SMOKE_TEST_ROLE_ARN: "deploy" }, /^the reader deploy is no role: write it like/],
    [{ GAME_SMOKE_TEST_ROLE_ARN: "arn:aws:iam::123456789012:role/*" }, /is no role/],
    [{ GAME_CLUSTER_ARNS: "arn" }, /^GAME_WITNESS_REGION is missing: .* need a witness/],
    [{ GAME_REGIONS: "us-east-1,us-east-2" }, /^GAME_WITNESS_REGION is missing/],
    [
      { GAME_REGIONS: "us-east-1,us-east-2", GAME_WITNESS_REGION: "us-west-2" },
      /^GAME_CLUSTER_ARNS has no cluster of us-east-1, us-east-2: list the ARNs of all clusters/,
    ],
    [
      {
        GAME_REGIONS: "us-east-1,us-east-2",
        GAME_WITNESS_REGION: "us-west-2",
        GAME_CLUSTER_ARNS: CLUSTER,
      },
      /^GAME_CLUSTER_ARNS has no cluster of us-east-2/,
    ],
    [{ GAME_WITNESS_REGION: "us-east-1" }, /must be in different Regions/],
    [{ GAME_ASSETS: "/nowhere" }, /^\/nowhere\/generate-game\/bootstrap is missing: build it/],
  ] as const) {
    const synthesize = () => new Synthesis(environment as Record<string, string>);
    assert.throws(synthesize, (error: Error) => {
      assert.match(error.message, says);
      return true;
    });
  }
});

/** Runs `cdk synth` as somebody who has set nothing, and returns what it says as it fails. */
function cdk(options: readonly string[]): string {
  const home = mkdtempSync(join(tmpdir(), "home-"));
  const folder = new URL("..", import.meta.url).pathname;
  const output = ["--output", join(home, "cdk.out")];
  const { status, stdout, stderr } = spawnSync(
    join(folder, "node_modules/.bin/cdk"),
    ["synth", "--quiet", ...output, ...options],
    {
      cwd: folder,
      encoding: "utf8",
      env: {
        AWS_EC2_METADATA_DISABLED: "true",
        CDK_DISABLE_CLI_TELEMETRY: "true",
        HOME: home,
        PATH: process.env["PATH"],
      },
    },
  );
  assert.notEqual(status, 0, stdout);
  return stdout + stderr;
}

const CLUSTER = "arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23";

const VARIABLES = [
  "CDK_DEFAULT_REGION",
  "CDK_DEFAULT_ACCOUNT",
  "GAME_ALARM_EMAIL",
  "GAME_API_KEY_GENERATIONS",
  "GAME_ARCHITECTURE",
  "GAME_ASSETS",
  "GAME_AUTHORIZER",
  "GAME_BACKUP_RETENTION_DAYS",
  "GAME_CLUSTER_ARN",
  "GAME_CLUSTER_ARNS",
  "GAME_CLUSTER_ENDPOINT",
  "GAME_CLUSTER_ENDPOINTS",
  "GAME_FAULT_INJECTION",
  "GAME_KMS_KEY_ARN",
  "GAME_MONTHLY_BUDGET_USD",
  "GAME_PERMISSIONS_BOUNDARY_ARN",
  "GAME_REGIONS",
  "GAME_RESERVED_CONCURRENCY",
  "GAME_SMOKE_TEST_ROLE_ARN",
  "GAME_STAGE",
  "GAME_SUBNET_IDS",
  "GAME_VPC_ID",
  "GAME_WEB_ACL",
  "GAME_WITNESS_REGION",
];
