import assert from "node:assert/strict";
import { test } from "node:test";
import { Architecture } from "aws-cdk-lib/aws-lambda";
import { settings } from "../lib/settings.ts";
import { Synthesis } from "./support/synthesis.ts";

test("a Region is all that has to be named", () => {
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
    apiKeyGeneration: undefined,
    kmsKeyArn: undefined,
    multiRegion: undefined,
  });
});

test("what the CLI makes of profiles and options comes first", () => {
  const { region } = settings({ CDK_DEFAULT_REGION: "eu-west-1", AWS_REGION: "us-east-1" });
  assert.equal(region, "eu-west-1");
});

test("empty is not set", () => {
  const environment = { AWS_REGION: "us-east-1" };
  const empty = Object.fromEntries(VARIABLES.map((name) => [name, ""]));
  assert.deepEqual(settings({ ...environment, ...empty }), settings(environment));
});

test("what is missing or wrong is named with what to do", () => {
  for (const [environment, says] of [
    [{ AWS_REGION: "" }, /^AWS_REGION is missing: name the Region/],
    [{ GAME_STAGE: "Prod 1" }, /^GAME_STAGE is Prod 1: write up to 16 of a-z/],
    [{ GAME_ARCHITECTURE: "arm" }, /^GAME_ARCHITECTURE is arm: write arm64 or x86_64/],
    [{ GAME_ALARM_EMAIL: "ops" }, /^GAME_ALARM_EMAIL is ops: write an address/],
    [{ GAME_RESERVED_CONCURRENCY: "few" }, /^GAME_RESERVED_CONCURRENCY is few: write a number/],
    [{ GAME_RESERVED_CONCURRENCY: "0" }, /^a reserved concurrency of 0: choose 1 to 1000/],
    [{ GAME_API_KEY_GENERATION: "b" }, /^GAME_API_KEY_GENERATION is b: write a number/],
    [{ GAME_API_KEY_GENERATION: "0" }, /^0 is no generation of an API key: count/],
    [{ GAME_KMS_KEY_ARN: "alias/mine" }, /^GAME_KMS_KEY_ARN is alias\/mine: write the ARN/],
    [{ GAME_SMOKE_TEST_ROLE_ARN: "deploy" }, /^the reader deploy is no role: write it like/],
    [{ GAME_SMOKE_TEST_ROLE_ARN: "arn:aws:iam::123456789012:role/*" }, /is no role/],
    [{ GAME_PEER_CLUSTER_ARNS: "arn" }, /^GAME_WITNESS_REGION is missing: .* need a witness/],
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

const VARIABLES = [
  "CDK_DEFAULT_REGION",
  "CDK_DEFAULT_ACCOUNT",
  "GAME_ALARM_EMAIL",
  "GAME_API_KEY_GENERATION",
  "GAME_ARCHITECTURE",
  "GAME_ASSETS",
  "GAME_KMS_KEY_ARN",
  "GAME_PEER_CLUSTER_ARNS",
  "GAME_RESERVED_CONCURRENCY",
  "GAME_SMOKE_TEST_ROLE_ARN",
  "GAME_STAGE",
  "GAME_WITNESS_REGION",
];
