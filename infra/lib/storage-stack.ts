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
  /** Used instead of creating a cluster. */
  readonly existingCluster?: ExistingCluster;
  /** Defaults to no backups. */
  readonly backupRetentionDays?: number;
  /** Defaults to the public endpoint. */
  readonly network?: NetworkProps;
}

/** The cluster and its backups. The other stacks can be deleted and created again without it. */
export class StorageStack extends Stack {
  readonly cluster: ClusterReference;
  readonly network: FunctionNetwork | undefined;

  constructor(scope: Construct, id: string, props: StorageStackProps) {
    super(scope, id, { ...props, terminationProtection: true });
    const { existingCluster, backupRetentionDays, network, kmsKeyArn } = props;

    if (existingCluster) {
      if (network) {
        throw new Error(
          "GAME_VPC_ID needs a cluster of this stack: an existing cluster has its own endpoint",
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
      // A stack needs at least one resource. This one is free.
      new CfnWaitConditionHandle(this, "Nothing");
    }

    new CfnOutput(this, "ClusterEndpoint", { value: this.cluster.endpoint });
    new CfnOutput(this, "ClusterArn", { value: this.cluster.arn });
  }
}

function references({ arn, endpoint, identifier }: ClusterReference): ClusterReference {
  return { arn, endpoint, identifier };
}
