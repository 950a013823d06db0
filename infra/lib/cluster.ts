import { Aws, RemovalPolicy, Stack, Token } from "aws-cdk-lib";
import { CfnCluster } from "aws-cdk-lib/aws-dsql";
import { Construct } from "constructs";

/** Settings of a cluster that spans Regions, with one peer per Region. */
export interface MultiRegion {
  /** A third Region, which stores the log and has no endpoint. */
  readonly witnessRegion: string;
  /**
   * The clusters of the group, with or without the cluster of this stack. Empty for the first
   * cluster, which stays in PENDING_SETUP until it gets its peer.
   */
  readonly clusterArns: readonly string[];
}

/** A cluster of another stack, or one that was restored from a backup. */
export interface ExistingCluster {
  readonly endpoint: string;
  readonly arn: string;
}

export interface ClusterProps {
  /** Defaults to the key of the service, which is free and needs no key policy. */
  readonly kmsKeyArn?: string;
  readonly multiRegion?: MultiRegion;
  /** If set, the cluster refuses connections from outside this VPC. */
  readonly onlyFromVpcId?: string;
}

/** The names of a cluster for connections, policies, metrics and alarms. */
export interface ClusterReference {
  readonly arn: string;
  /**
   * The host name from the service. It is never built from parts, because its format may change.
   */
  readonly endpoint: string;
  readonly identifier: string;
}

/**
 * An Aurora DSQL cluster that outlives its stack.
 *
 * L1, because the L2 (`@aws-cdk/aws-dsql-alpha`) is experimental: its API may change in any
 * release, and it has no properties for a key, peers or a policy.
 */
export class Cluster extends Construct implements ClusterReference {
  readonly arn: string;
  readonly endpoint: string;
  readonly identifier: string;
  /** The host name for PrivateLink. Unverified: the value that the service returns here. */
  readonly privateEndpoint: string;
  readonly endpointServiceName: string;

  constructor(scope: Construct, id: string, props: ClusterProps = {}) {
    super(scope, id);
    const { kmsKeyArn, multiRegion, onlyFromVpcId } = props;
    if (multiRegion) {
      check(multiRegion, Stack.of(this).region);
    }

    const cluster = new CfnCluster(this, "Resource", {
      deletionProtectionEnabled: true,
      kmsEncryptionKey: kmsKeyArn,
      policyDocument: Stack.of(this).toJsonString(policy(onlyFromVpcId)),
      multiRegionProperties: multiRegion && {
        witnessRegion: multiRegion.witnessRegion,
        clusters: multiRegion.clusterArns.length > 0 ? [...multiRegion.clusterArns] : undefined,
      },
    });
    cluster.applyRemovalPolicy(RemovalPolicy.RETAIN);

    this.arn = cluster.attrResourceArn;
    this.endpoint = cluster.attrEndpoint;
    this.identifier = cluster.attrIdentifier;
    this.privateEndpoint = cluster.attrVpcEndpoint;
    this.endpointServiceName = cluster.attrVpcEndpointServiceName;
  }
}

/** Checks and returns the names of a cluster that this app does not manage. */
export function existing({ endpoint, arn }: ExistingCluster): ClusterReference {
  const identifier = CLUSTER_ARN.exec(arn)?.[2];
  if (!identifier) {
    throw new Error(
      `GAME_CLUSTER_ARN is ${arn}: write it like arn:aws:dsql:<region>:<account>:cluster/<id>`,
    );
  }
  if (!endpoint.startsWith(`${identifier}.`)) {
    throw new Error(
      `GAME_CLUSTER_ENDPOINT is ${endpoint}, which is not the endpoint of ${arn}: aws dsql get-cluster tells both`,
    );
  }
  return { arn, endpoint, identifier };
}

/**
 * Roles grant the permissions. The cluster's policy denies principals of other accounts, whatever
 * their roles allow. https://docs.aws.amazon.com/aurora-dsql/latest/userguide/rbp-examples.html
 */
function policy(onlyFromVpcId: string | undefined): unknown {
  const deny = (Sid: string, Condition: unknown) => ({
    Sid,
    Effect: "Deny",
    Principal: { AWS: "*" },
    Action: ["dsql:DbConnect", "dsql:DbConnectAdmin"],
    Resource: "*",
    Condition,
  });
  const statements = [
    deny("OtherAccounts", { StringNotEquals: { "aws:PrincipalAccount": Aws.ACCOUNT_ID } }),
  ];
  if (onlyFromVpcId) {
    // Also denies connections from the internet, which have no VPC.
    statements.push(deny("OtherNetworks", { StringNotEquals: { "aws:SourceVpc": onlyFromVpcId } }));
  }
  return { Version: "2012-10-17", Statement: statements };
}

/** The service would also refuse these, but minutes later. */
function check({ witnessRegion, clusterArns }: MultiRegion, region: string): void {
  if (!REGION.test(witnessRegion)) {
    throw new Error(`the witness ${witnessRegion} is no Region: write it like us-west-2`);
  }
  const regions = clusterArns.map((arn) => {
    const region = CLUSTER_ARN.exec(arn)?.[1];
    if (!region) {
      throw new Error(
        `the peer ${arn} is no cluster: give the ClusterArn of its stack, arn:aws:dsql:<region>:<account>:cluster/<id>`,
      );
    }
    return region;
  });
  // The list may contain the cluster of this stack: both stacks can use the same list.
  if (!Token.isUnresolved(region) && !regions.includes(region)) {
    regions.push(region);
  }
  if (new Set([witnessRegion, ...regions]).size !== regions.length + 1) {
    throw new Error(
      `the witness (${witnessRegion}) and the clusters (${regions.join(", ")}) must be in different Regions`,
    );
  }
  if (clusterArns.length > 0 && regions.length === 1) {
    throw new Error(
      `GAME_CLUSTER_ARNS has only the cluster of ${region} itself: add the cluster of its peer`,
    );
  }
}

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

/** Captures the Region and the identifier. */
export const CLUSTER_ARN = /^arn:aws[a-z-]*:dsql:([a-z0-9-]+):\d{12}:cluster\/([a-z0-9]{26})$/;
