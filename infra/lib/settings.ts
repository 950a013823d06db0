import { Architecture } from "aws-cdk-lib/aws-lambda";
import type { ClusterReference, ExistingCluster, MultiRegion } from "./cluster.ts";
import type { Authorizer } from "./game-api.ts";
import type { NetworkProps } from "./network.ts";
import { peerOf } from "./peer.ts";

/** The settings of a deployment. */
export interface Settings {
  readonly region: string;
  /** CloudFormation fills it in if it is unknown. */
  readonly account: string | undefined;
  readonly stage: string;
  readonly architecture: Architecture;
  /** The folder of the built programs. */
  readonly assets: string;
  readonly alarmEmail: string | undefined;
  readonly smokeTestRoleArn: string | undefined;
  readonly reservedConcurrency: number | "none" | undefined;
  readonly apiKeyGenerations: readonly number[] | undefined;
  readonly kmsKeyArn: string | undefined;
  readonly multiRegion: MultiRegion | undefined;
  readonly existingCluster: ExistingCluster | undefined;
  /** The cluster of the other Region, if the function may move there. */
  readonly peer: ClusterReference | undefined;
  /** Undefined without backups. */
  readonly backupRetentionDays: number | undefined;
  readonly permissionsBoundary: string | undefined;
  readonly network: NetworkProps | undefined;
  readonly authorizer: Authorizer | undefined;
  readonly webAcl: boolean;
  readonly monthlyBudget: number | undefined;
  readonly faultInjection: boolean;
}

/**
 * Reads the settings from the environment: see README.md. An empty variable counts as not set,
 * because a workflow passes a missing variable as an empty one.
 */
export function settings(environment: Environment): Settings {
  const read = new Variables(environment);
  const architecture = read.matching(
    "GAME_ARCHITECTURE",
    /^(arm64|x86_64)$/,
    "write arm64 or x86_64, as the Lambda was built for",
  );
  const concurrency = read.matching(
    "GAME_RESERVED_CONCURRENCY",
    /^(\d+|none)$/,
    "write a number, or none",
  );
  const stage =
    read.matching(
      "GAME_STAGE",
      /^[a-z][a-z0-9]{0,15}$/,
      "write up to 16 of a-z and 0-9, as in prod",
    ) ?? "prod";
  const region = regionOf(read);

  return {
    region,
    account: read.text("CDK_DEFAULT_ACCOUNT"),
    stage,
    architecture: architecture === "x86_64" ? Architecture.X86_64 : Architecture.ARM_64,
    assets: read.text("GAME_ASSETS") ?? BUILT,
    alarmEmail: read.matching("GAME_ALARM_EMAIL", /^[^@\s]+@[^@\s]+$/, "write an address"),
    smokeTestRoleArn: read.text("GAME_SMOKE_TEST_ROLE_ARN"),
    reservedConcurrency:
      concurrency === "none" ? "none" : concurrency === undefined ? undefined : Number(concurrency),
    apiKeyGenerations: apiKeyGenerations(read),
    kmsKeyArn: read.matching(
      "GAME_KMS_KEY_ARN",
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]+$/,
      "write the ARN of a key, not of an alias",
    ),
    multiRegion: multiRegion(read),
    existingCluster: existingCluster(read),
    peer: peerOf({
      region,
      clusterArns: read.list("GAME_CLUSTER_ARNS"),
      clusterEndpoints: read.list("GAME_CLUSTER_ENDPOINTS"),
      existingCluster: existingCluster(read),
      inVpc: network(read) !== undefined,
    }),
    backupRetentionDays: backupRetentionDays(read, stage),
    permissionsBoundary: read.matching(
      "GAME_PERMISSIONS_BOUNDARY_ARN",
      /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/[\w+=,.@/-]+$/,
      "write the ARN of a policy",
    ),
    network: network(read),
    authorizer: authorizer(read),
    webAcl: read.matching("GAME_WEB_ACL", /^(on|off)$/, "write on or off") === "on",
    monthlyBudget: read.number("GAME_MONTHLY_BUDGET_USD"),
    faultInjection: read.matching("GAME_FAULT_INJECTION", /^(on|off)$/, "write on or off") === "on",
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

class Variables {
  private readonly environment: Environment;

  constructor(environment: Environment) {
    this.environment = environment;
  }

  text(name: string): string | undefined {
    return this.environment[name]?.trim() || undefined;
  }

  matching(name: string, form: RegExp, example: string): string | undefined {
    const value = this.text(name);
    if (value && !form.test(value)) {
      throw new Error(`${name} is ${value}: ${example}`);
    }
    return value;
  }

  number(name: string): number | undefined {
    const value = this.matching(name, /^\d+$/, "write a number");
    return value === undefined ? undefined : Number(value);
  }

  list(name: string): string[] {
    const parts = this.text(name)?.split(",") ?? [];
    return parts.map((part) => part.trim()).filter((part) => part !== "");
  }
}

/**
 * Ignores CDK_DEFAULT_REGION alone: the CDK CLI sets it to us-east-1 if it finds no Region. A
 * forgotten Region would create a cluster that is retained in the wrong Region.
 */
function regionOf(read: Variables): string {
  const region = read.text("AWS_REGION") ?? read.text("AWS_DEFAULT_REGION");
  if (!region) {
    throw new Error("AWS_REGION is missing: name the Region to deploy to, such as us-east-1");
  }
  const ofCli = read.text("CDK_DEFAULT_REGION");
  if (ofCli && ofCli !== region) {
    throw new Error(
      `AWS_REGION is ${region}, but the CDK CLI uses ${ofCli}: set both to the same Region`,
    );
  }
  return region;
}

function apiKeyGenerations(read: Variables): readonly number[] | undefined {
  const generations = read.matching(
    "GAME_API_KEY_GENERATIONS",
    /^\d+( *, *\d+)*$/,
    "write a number, or two during a rotation, as in 1,2",
  );
  if (!generations) {
    return undefined;
  }
  return read.list("GAME_API_KEY_GENERATIONS").map(Number);
}

function multiRegion(read: Variables): MultiRegion | undefined {
  const witnessRegion = read.text("GAME_WITNESS_REGION");
  const clusterArns = read.list("GAME_CLUSTER_ARNS");
  const regions = read.list("GAME_REGIONS");
  if (!witnessRegion) {
    if (clusterArns.length > 0 || regions.length > 1) {
      throw new Error(
        "GAME_WITNESS_REGION is missing: clusters with GAME_CLUSTER_ARNS or more than one of GAME_REGIONS need a witness",
      );
    }
    return undefined;
  }
  // If all Regions are named, all clusters must be, too. A template without one separates the
  // peers.
  const missing = regions.length > 1 ? regions.filter((region) => !has(clusterArns, region)) : [];
  if (missing.length > 0) {
    throw new Error(
      `GAME_CLUSTER_ARNS has no cluster of ${missing.join(", ")}: list the ARNs of all clusters of GAME_REGIONS`,
    );
  }
  return { witnessRegion, clusterArns };
}

function has(clusterArns: readonly string[], region: string): boolean {
  return clusterArns.some((arn) => arn.split(":")[3] === region);
}

function existingCluster(read: Variables): ExistingCluster | undefined {
  const endpoint = read.text("GAME_CLUSTER_ENDPOINT");
  const arn = read.text("GAME_CLUSTER_ARN");
  if (!endpoint && !arn) {
    return undefined;
  }
  if (!endpoint || !arn) {
    throw new Error(
      "GAME_CLUSTER_ENDPOINT and GAME_CLUSTER_ARN belong together: name both of the existing cluster",
    );
  }
  return { endpoint, arn };
}

function backupRetentionDays(read: Variables, stage: string): number | undefined {
  const days = read.matching(
    "GAME_BACKUP_RETENTION_DAYS",
    /^(\d+|none)$/,
    "write a number of days, or none",
  );
  if (days === undefined) {
    return stage === "prod" ? 35 : undefined;
  }
  return days === "none" ? undefined : Number(days);
}

function network(read: Variables): NetworkProps | undefined {
  const vpcId = read.matching(
    "GAME_VPC_ID",
    /^vpc-([0-9a-f]{8}|[0-9a-f]{17})$/,
    "write it like vpc-0123456789abcdef0",
  );
  const subnetIds = read.list("GAME_SUBNET_IDS");
  if (!vpcId && subnetIds.length === 0) {
    return undefined;
  }
  if (!vpcId || subnetIds.length === 0) {
    throw new Error("GAME_VPC_ID and GAME_SUBNET_IDS belong together: name a VPC and its subnets");
  }
  return { vpcId, subnetIds };
}

function authorizer(read: Variables): Authorizer | undefined {
  const authorizer = read.matching(
    "GAME_AUTHORIZER",
    /^(iam|arn:aws[a-z-]*:cognito-idp:[a-z0-9-]+:\d{12}:userpool\/[\w-]+)$/,
    "write iam, or the ARN of a Cognito user pool",
  );
  if (!authorizer) {
    return undefined;
  }
  return authorizer === "iam" ? "iam" : { userPoolArn: authorizer };
}

/** The output folder of cargo-lambda in docs/deploy.md. */
const BUILT = new URL("../../target/functions", import.meta.url).pathname;
