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
  /** The permissions in addition to writing its log. */
  readonly statements: readonly PolicyStatement[];
  readonly tracing: boolean;
  /** Whether the function runs in a VPC, where Lambda creates its network interfaces. */
  readonly inVpc?: boolean;
  /** Defaults to the key of CloudWatch. */
  readonly logKey?: IKey;
}

/** The role and the log group of a function. */
export class Execution extends Construct {
  /**
   * Immutable, so that the CDK cannot add permissions. By default it adds the managed policy
   * AWSLambdaBasicExecutionRole, which allows every log group of the account.
   */
  readonly role: IRole;
  readonly logGroup: ILogGroup;

  constructor(
    scope: Construct,
    id: string,
    { statements, tracing, inVpc = false, logKey }: ExecutionProps,
  ) {
    super(scope, id);

    // Outlives the stack: it shows why a first deployment failed, and what a deleted function did.
    // Its lines expire by the retention.
    this.logGroup = new LogGroup(this, "Log", {
      encryptionKey: logKey,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    acknowledgeCheckov(this.logGroup, logKey ? {} : { CKV_AWS_158: SERVICE_KEY });

    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      // Inline, so that the role never exists without its permissions.
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
          "X-Ray has no resources for senders of traces, and network interfaces have no names before Lambda creates them: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
      });
    }
    if (inVpc) {
      acknowledgeCheckov(role, {
        CKV_AWS_111: "Network interfaces have no names before Lambda creates them.",
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
