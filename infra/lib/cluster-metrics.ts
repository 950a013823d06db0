import type { Duration } from "aws-cdk-lib";
import { Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import type { ClusterReference } from "./cluster.ts";

/** https://docs.aws.amazon.com/aurora-dsql/latest/userguide/cloudwatch-monitoring.html */
export function clusterMetric(
  cluster: ClusterReference,
  metricName: string,
  period?: Duration,
): Metric {
  return new Metric({
    namespace: "AWS/AuroraDSQL",
    metricName,
    dimensionsMap: { ClusterId: cluster.identifier },
    statistic: Stats.SUM,
    period,
  });
}
