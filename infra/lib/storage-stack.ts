import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { Cluster, type ClusterProps } from "./cluster.ts";

export interface StorageStackProps extends StackProps, ClusterProps {}

/** What holds data. It is apart from the rest so that the rest can be torn down and built again. */
export class StorageStack extends Stack {
  readonly cluster: Cluster;

  constructor(scope: Construct, id: string, props: StorageStackProps) {
    super(scope, id, { ...props, terminationProtection: true });
    this.cluster = new Cluster(this, "Cluster", props);

    new CfnOutput(this, "ClusterEndpoint", { value: this.cluster.endpoint });
    new CfnOutput(this, "ClusterArn", { value: this.cluster.arn });
  }
}
