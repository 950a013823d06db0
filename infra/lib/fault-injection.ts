import { Aws, Stack, Validations } from "aws-cdk-lib";
import type { IAlarm } from "aws-cdk-lib/aws-cloudwatch";
import { CfnExperimentTemplate } from "aws-cdk-lib/aws-fis";
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import type { ClusterReference } from "./cluster.ts";

export interface FaultInjectionProps {
  readonly cluster: ClusterReference;
  /** The percentage of connections that fail. */
  readonly percentage: number;
  /** Ends the experiment when it goes off. */
  readonly stopAlarm: IAlarm;
}

/**
 * An experiment that makes connections to the cluster of this Region fail, for a game day:
 * docs/deploy.md. Nothing starts it but a person.
 * https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html#dsql-actions-reference
 *
 * L1, because there is no L2.
 */
export class FaultInjection extends Construct {
  readonly templateId: string;

  constructor(
    scope: Construct,
    id: string,
    { cluster, percentage, stopAlarm }: FaultInjectionProps,
  ) {
    super(scope, id);
    const experiments = Stack.of(this).formatArn({
      service: "fis",
      resource: "experiment",
      resourceName: "*",
    });
    const role = new Role(this, "Role", {
      description: "Lets AWS FIS make connections to the cluster fail",
      // https://docs.aws.amazon.com/fis/latest/userguide/getting-started-iam-service-role.html
      assumedBy: new ServicePrincipal("fis.amazonaws.com", {
        conditions: {
          StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID },
          ArnLike: { "aws:SourceArn": experiments },
        },
      }),
      inlinePolicies: {
        Experiment: new PolicyDocument({
          statements: [
            // https://docs.aws.amazon.com/aurora-dsql/latest/userguide/using-iam-condition-keys.html
            new PolicyStatement({
              actions: ["dsql:InjectError"],
              resources: ["*"],
              conditions: {
                StringEquals: { "dsql:FisActionId": ACTION },
                "ForAllValues:ArnEquals": { "dsql:FisTargetArns": cluster.arn },
              },
            }),
            new PolicyStatement({ actions: ["dsql:GetCluster"], resources: [cluster.arn] }),
            new PolicyStatement({ actions: ["tag:GetResources"], resources: ["*"] }),
          ],
        }),
      },
    });
    Validations.of(role).acknowledge({
      id: "AwsSolutions-IAM5[Resource::*]",
      reason:
        "dsql:InjectError and tag:GetResources have no resources. Conditions limit the first to one action on one cluster, and the second reads tags.",
    });

    const template = new CfnExperimentTemplate(this, "Template", {
      description: "Connections to the cluster of generate-game in this Region fail",
      roleArn: role.withoutPolicyUpdates().roleArn,
      targets: {
        home: {
          resourceType: "aws:dsql:cluster",
          resourceArns: [cluster.arn],
          selectionMode: "ALL",
        },
      },
      actions: {
        failConnections: {
          actionId: ACTION,
          parameters: { duration: DURATION, percentage: percentage.toString() },
          // Unverified: AWS's pages do not show the key of this action. Other actions on clusters
          // use it. A wrong one fails the deployment.
          targets: { Clusters: "home" },
        },
      },
      stopConditions: [{ source: "aws:cloudwatch:alarm", value: stopAlarm.alarmArn }],
      tags: { Name: Stack.of(this).stackName },
    });
    this.templateId = template.attrId;
  }
}

const ACTION = "aws:dsql:cluster-connection-failure";

/** From one minute to 12 hours. Longer than it takes the alarm to see a failure. */
const DURATION = "PT10M";
