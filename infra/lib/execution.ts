import { RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  type IRole,
  PolicyDocument,
  PolicyStatement,
  Role,
  ServicePrincipal,
} from "aws-cdk-lib/aws-iam";
import { type ILogGroup, LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

export interface ExecutionProps {
  /** What it may do besides writing its log. */
  readonly statements: readonly PolicyStatement[];
  readonly tracing: boolean;
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

  constructor(scope: Construct, id: string, { statements, tracing }: ExecutionProps) {
    super(scope, id);

    // Kept with the stack gone: it tells why a first deployment failed, and what a deleted function
    // had done. CloudWatch encrypts it with a key of its own, and empties it by its retention.
    this.logGroup = new LogGroup(this, "Log", {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.RETAIN,
    });

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
          ],
        }),
      },
    });
    if (tracing) {
      Validations.of(role).acknowledge({
        id: "AwsSolutions-IAM5[Resource::*]",
        reason:
          "X-Ray has no resources to name for what sends traces: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html",
      });
    }
    this.role = role.withoutPolicyUpdates();
  }
}

const SEND_TRACES = new PolicyStatement({
  actions: ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
  resources: ["*"],
});
