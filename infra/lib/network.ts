import {
  CfnSecurityGroup,
  CfnSecurityGroupEgress,
  CfnSecurityGroupIngress,
  CfnVPCEndpoint,
} from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";
import type { Cluster } from "./cluster.ts";

export interface NetworkProps {
  readonly vpcId: string;
  /** Private subnets, one per Availability Zone. */
  readonly subnetIds: readonly string[];
}

/** The network of functions without internet access. */
export interface FunctionNetwork {
  readonly subnetIds: readonly string[];
  readonly securityGroupId: string;
}

/**
 * A PrivateLink endpoint from a VPC to the cluster.
 *
 * L1, because the L2 looks up the VPC in the account, and the synthesis has no credentials.
 * https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html
 */
export class Network extends Construct implements FunctionNetwork {
  readonly subnetIds: readonly string[];
  readonly securityGroupId: string;
  readonly endpointId: string;

  constructor(
    scope: Construct,
    id: string,
    { vpcId, subnetIds, cluster }: NetworkProps & { cluster: Cluster },
  ) {
    super(scope, id);
    this.subnetIds = subnetIds;

    const functions = new CfnSecurityGroup(this, "Functions", {
      groupDescription: "The functions of generate-game: to the cluster only",
      vpcId,
      // Without an explicit rule EC2 adds one that allows all outgoing traffic.
      securityGroupEgress: [NOWHERE],
    });
    const interfaces = new CfnSecurityGroup(this, "Interfaces", {
      groupDescription: "The cluster of generate-game: from the functions only",
      vpcId,
      securityGroupEgress: [NOWHERE],
    });
    const postgres = { ipProtocol: "tcp", fromPort: 5432, toPort: 5432 };
    new CfnSecurityGroupEgress(this, "ToCluster", {
      ...postgres,
      description: "PostgreSQL to the cluster",
      groupId: functions.attrGroupId,
      destinationSecurityGroupId: interfaces.attrGroupId,
    });
    new CfnSecurityGroupIngress(this, "FromFunctions", {
      ...postgres,
      description: "PostgreSQL from the functions",
      groupId: interfaces.attrGroupId,
      sourceSecurityGroupId: functions.attrGroupId,
    });
    const endpoint = new CfnVPCEndpoint(this, "Endpoint", {
      vpcEndpointType: "Interface",
      serviceName: cluster.endpointServiceName,
      vpcId,
      subnetIds: [...subnetIds],
      securityGroupIds: [interfaces.attrGroupId],
      privateDnsEnabled: true,
    });

    this.securityGroupId = functions.attrGroupId;
    this.endpointId = endpoint.ref;
  }
}

/** The CDK's rule for a group without outgoing traffic. */
const NOWHERE = {
  cidrIp: "255.255.255.255/32",
  description: "Disallow all traffic",
  ipProtocol: "icmp",
  fromPort: 252,
  toPort: 86,
};
