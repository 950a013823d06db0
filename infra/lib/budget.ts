import { CfnBudget } from "aws-cdk-lib/aws-budgets";
import { ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { Topic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";

export interface BudgetProps {
  readonly monthlyLimit: number;
  readonly stage: string;
  readonly topic: Topic;
}

/**
 * Notifies the topic when the costs of a month exceed a limit.
 *
 * Counts resources with the tag `stage`. The tag must be activated for cost allocation in the
 * account that pays:
 * https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html
 */
export class Budget extends Construct {
  constructor(scope: Construct, id: string, { monthlyLimit, stage, topic }: BudgetProps) {
    super(scope, id);
    if (monthlyLimit < 1) {
      throw new Error(`a monthly budget of ${monthlyLimit} USD: choose 1 or more`);
    }
    topic.grantPublish(new ServicePrincipal("budgets.amazonaws.com"));
    const notify = (notificationType: string, threshold: number) => ({
      notification: {
        notificationType,
        comparisonOperator: "GREATER_THAN",
        threshold,
        thresholdType: "PERCENTAGE",
      },
      subscribers: [{ subscriptionType: "SNS", address: topic.topicArn }],
    });
    new CfnBudget(this, "Resource", {
      budget: {
        budgetType: "COST",
        timeUnit: "MONTHLY",
        budgetLimit: { amount: monthlyLimit, unit: "USD" },
        costFilters: { TagKeyValue: [`user:stage$${stage}`] },
      },
      notificationsWithSubscribers: [notify("ACTUAL", 80), notify("FORECASTED", 100)],
    });
  }
}
