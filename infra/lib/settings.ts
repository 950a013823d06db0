import { Architecture } from "aws-cdk-lib/aws-lambda";
import type { MultiRegion } from "./cluster.ts";

/** What a deployment can choose. */
export interface Settings {
  readonly region: string;
  /** Filled in by CloudFormation where it is not known. */
  readonly account: string | undefined;
  readonly stage: string;
  readonly architecture: Architecture;
  /** The folder of the built programs. */
  readonly assets: string;
  readonly alarmEmail: string | undefined;
  readonly smokeTestRoleArn: string | undefined;
  readonly reservedConcurrency: number | "none" | undefined;
  readonly apiKeyGeneration: number | undefined;
  readonly kmsKeyArn: string | undefined;
  readonly multiRegion: MultiRegion | undefined;
}

/**
 * Reads the settings from the environment: see README.md. A variable that is set and empty, as a
 * workflow passes one that its repository lacks, counts as not set.
 */
export function settings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const variable = (name: string) => environment[name]?.trim() || undefined;
  const matching = (name: string, form: RegExp, example: string) => {
    const value = variable(name);
    if (value && !form.test(value)) {
      throw new Error(`${name} is ${value}: ${example}`);
    }
    return value;
  };
  const number = (name: string) => {
    const value = matching(name, /^\d+$/, "write a number");
    return value === undefined ? undefined : Number(value);
  };

  // CDK_DEFAULT_REGION is what the CDK CLI makes of AWS_REGION, a profile and its own options.
  const region = variable("CDK_DEFAULT_REGION") ?? variable("AWS_REGION");
  if (!region) {
    throw new Error("AWS_REGION is missing: name the Region to deploy to, such as us-east-1");
  }
  const architecture = matching(
    "GAME_ARCHITECTURE",
    /^(arm64|x86_64)$/,
    "write arm64 or x86_64, as the Lambda was built for",
  );
  const concurrency = matching(
    "GAME_RESERVED_CONCURRENCY",
    /^(\d+|none)$/,
    "write a number, or none",
  );

  return {
    region,
    account: variable("CDK_DEFAULT_ACCOUNT"),
    stage:
      matching(
        "GAME_STAGE",
        /^[a-z][a-z0-9]{0,15}$/,
        "write up to 16 of a-z and 0-9, as in prod",
      ) ?? "prod",
    architecture: architecture === "x86_64" ? Architecture.X86_64 : Architecture.ARM_64,
    assets: variable("GAME_ASSETS") ?? BUILT,
    alarmEmail: matching("GAME_ALARM_EMAIL", /^[^@\s]+@[^@\s]+$/, "write an address"),
    smokeTestRoleArn: variable("GAME_SMOKE_TEST_ROLE_ARN"),
    reservedConcurrency:
      concurrency === "none" ? "none" : concurrency === undefined ? undefined : Number(concurrency),
    apiKeyGeneration: number("GAME_API_KEY_GENERATION"),
    kmsKeyArn: matching(
      "GAME_KMS_KEY_ARN",
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/,
      "write the ARN of a key, not of an alias",
    ),
    multiRegion: multiRegion(variable("GAME_WITNESS_REGION"), variable("GAME_PEER_CLUSTER_ARNS")),
  };
}

function multiRegion(
  witnessRegion: string | undefined,
  peers: string | undefined,
): MultiRegion | undefined {
  if (!witnessRegion) {
    if (peers) {
      throw new Error(
        "GAME_WITNESS_REGION is missing: clusters with GAME_PEER_CLUSTER_ARNS need a witness",
      );
    }
    return undefined;
  }
  const peerClusterArns = peers?.split(",").map((arn) => arn.trim()) ?? [];
  return { witnessRegion, peerClusterArns };
}

/** Where cargo-lambda writes, beside this folder's own place in the repository. */
const BUILT = new URL("../../target/functions", import.meta.url).pathname;
