import { RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  type IRole,
  PolicyDocument,
  PolicyStatement,
  Role,
  ServicePrincipal,
} from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { type ILogGroup, LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledgeCheckov, SERVICE_KEY } from "./checkov.ts";

export interface ExecutionProps {
  /** What it may do besides writing its log. */
  readonly statements: readonly PolicyStatement[];
  readonly tracing: boolean;
  /** Whether the function runs in a VPC, for which Lambda makes its network interfaces. */
  readonly inVpc?: boolean;
  /** CloudWatch's own key unless given. */
  readonly logKey?: IKey;
}

/** What a function may do, and where it writes what it did. */
export class Execution extends Construct {
  /**
   * Immutable, so that what is written here is all that the function may do: CDK cannot add to it,
   * as it would by itself with the managed AWSLambdaBasicExecutionRole, which allows every log group
   * of the account.
   */
  readonly role: IRole;
  readonly logGroup: ILogGroup;

  constructor(
    scope: Construct,
    id: string,
    { statements, tracing, inVpc = false, logKey }: ExecutionProps,
  ) {
    super(scope, id);

    // Kept with the stack gone: it tells why a first deployment failed, and what a deleted function
    // had done. CloudWatch empties it by its retention.
    this.logGroup = new LogGroup(this, "Log", {
      encryptionKey: logKey,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    acknowledgeCheckov(this.logGroup, logKey ? {} : { CKV_AWS_158: SERVICE_KEY });

    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      // In the role itself, so that the role never exists without them.
      inlinePolicies: {
        Execution: new PolicyDocument({
          statements: [
            ...statements,
            new PolicyStatement({
              actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
              resources: [this.logGroup.logGroupArn],
            }),
            ...(tracing ? [SEND_TRACES] : []),
            ...(inVpc ? [MAKE_INTERFACES] : []),
          ],
        }),
      },
    });
    if (tracing || inVpc) {
      Validations.of(role).acknowledge({
        id: "AwsSolutions-IAM5[Resource::*]",
        reason:
          "X-Ray has no resources to name for what sends traces, and Lambda's network interfaces have no names before they are made: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
      });
    }
    if (inVpc) {
      acknowledgeCheckov(role, {
        CKV_AWS_111: "Lambda's network interfaces have no names before they are made.",
      });
    }
    this.role = role.withoutPolicyUpdates();
  }
}

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions */
const MAKE_INTERFACES = new PolicyStatement({
  actions: [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ],
  resources: ["*"],
});

const SEND_TRACES = new PolicyStatement({
  actions: ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
  resources: ["*"],
});
