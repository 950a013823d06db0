import { RemovalPolicy, Stack, Token } from "aws-cdk-lib";
import { CfnCluster } from "aws-cdk-lib/aws-dsql";
import { Construct } from "constructs";

/** A cluster that spans Regions. Its peers are clusters of the same shape, one a Region. */
export interface MultiRegion {
  /** Keeps the log without an endpoint, in a third Region. */
  readonly witnessRegion: string;
  /** None for the first cluster of a group: it waits in PENDING_SETUP until it is told its peer. */
  readonly peerClusterArns: readonly string[];
}

export interface ClusterProps {
  /** The service's own key unless given, which costs nothing and needs no key policy. */
  readonly kmsKeyArn?: string;
  readonly multiRegion?: MultiRegion;
}

/**
 * An Aurora DSQL cluster that outlives its stack.
 *
 * L1, because the L2 (`@aws-cdk/aws-dsql-alpha`) is experimental: its API may break in any
 * release, and it takes neither a key nor peers.
 */
export class Cluster extends Construct {
  readonly arn: string;
  /** The host name as the service tells it. Its form is the service's to change. */
  readonly endpoint: string;
  readonly identifier: string;

  constructor(scope: Construct, id: string, props: ClusterProps = {}) {
    super(scope, id);
    const { kmsKeyArn, multiRegion } = props;
    if (multiRegion) {
      check(multiRegion, Stack.of(this).region);
    }

    const cluster = new CfnCluster(this, "Resource", {
      deletionProtectionEnabled: true,
      kmsEncryptionKey: kmsKeyArn,
      multiRegionProperties: multiRegion && {
        witnessRegion: multiRegion.witnessRegion,
        clusters:
          multiRegion.peerClusterArns.length > 0 ? [...multiRegion.peerClusterArns] : undefined,
      },
    });
    cluster.applyRemovalPolicy(RemovalPolicy.RETAIN);

    this.arn = cluster.attrResourceArn;
    this.endpoint = cluster.attrEndpoint;
    this.identifier = cluster.attrIdentifier;
  }
}

/** The service would refuse these too, minutes later. */
function check({ witnessRegion, peerClusterArns }: MultiRegion, region: string): void {
  if (!REGION.test(witnessRegion)) {
    throw new Error(`the witness ${witnessRegion} is no Region: write it like us-west-2`);
  }
  const regions = peerClusterArns.map((arn) => {
    const region = CLUSTER_ARN.exec(arn)?.[1];
    if (!region) {
      throw new Error(
        `the peer ${arn} is no cluster: give the ClusterArn of its stack, arn:aws:dsql:<region>:<account>:cluster/<id>`,
      );
    }
    return region;
  });
  if (!Token.isUnresolved(region)) {
    regions.push(region);
  }
  if (new Set([witnessRegion, ...regions]).size !== regions.length + 1) {
    throw new Error(
      `the witness (${witnessRegion}) and the clusters (${regions.join(", ")}) must be in different Regions`,
    );
  }
}

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

const CLUSTER_ARN = /^arn:aws[a-z-]*:dsql:([a-z0-9-]+):\d{12}:cluster\/[a-z0-9]{26}$/;
