import { CfnOutput, CfnWaitConditionHandle, Stack, type StackProps } from "aws-cdk-lib";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import { Backups } from "./backups.ts";
import {
  Cluster,
  type ClusterProps,
  type ClusterReference,
  type ExistingCluster,
  existing,
} from "./cluster.ts";
import { type FunctionNetwork, Network, type NetworkProps } from "./network.ts";

export interface StorageStackProps extends StackProps, Omit<ClusterProps, "onlyFromVpcId"> {
  /** Used instead of a cluster of the stack's own. */
  readonly existingCluster?: ExistingCluster;
  /** No backups unless given. */
  readonly backupRetentionDays?: number;
  /** The functions reach the cluster by the internet unless given. */
  readonly network?: NetworkProps;
}

/** What holds data. It is apart from the rest so that the rest can be torn down and built again. */
export class StorageStack extends Stack {
  readonly cluster: ClusterReference;
  readonly network: FunctionNetwork | undefined;

  constructor(scope: Construct, id: string, props: StorageStackProps) {
    super(scope, id, { ...props, terminationProtection: true });
    const { existingCluster, backupRetentionDays, network, kmsKeyArn } = props;

    if (existingCluster) {
      if (network) {
        throw new Error(
          "GAME_VPC_ID goes with a cluster of the stack's own: an existing one has its own endpoint",
        );
      }
      this.cluster = existing(existingCluster);
    } else {
      const cluster = new Cluster(this, "Cluster", { ...props, onlyFromVpcId: network?.vpcId });
      this.network = network && new Network(this, "Network", { ...network, cluster });
      this.cluster = network
        ? { ...references(cluster), endpoint: cluster.privateEndpoint }
        : cluster;
    }

    if (backupRetentionDays !== undefined) {
      const backups = new Backups(this, "Backups", {
        clusterArn: this.cluster.arn,
        retentionDays: backupRetentionDays,
        key: kmsKeyArn ? Key.fromKeyArn(this, "BackupKey", kmsKeyArn) : undefined,
      });
      new CfnOutput(this, "BackupVaultName", { value: backups.vaultName });
    } else if (existingCluster) {
      // A stack without a resource is none. This one costs nothing.
      new CfnWaitConditionHandle(this, "Nothing");
    }

    new CfnOutput(this, "ClusterEndpoint", { value: this.cluster.endpoint });
    new CfnOutput(this, "ClusterArn", { value: this.cluster.arn });
  }
}

function references({ arn, endpoint, identifier }: ClusterReference): ClusterReference {
  return { arn, endpoint, identifier };
}
