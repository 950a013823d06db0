import type { RestApi } from "aws-cdk-lib/aws-apigateway";
import { CfnWebACL, CfnWebACLAssociation } from "aws-cdk-lib/aws-wafv2";
import { Construct } from "constructs";

/** A web ACL for the API: AWS's common rules, and a rate limit per address. */
export class WebAcl extends Construct {
  constructor(scope: Construct, id: string, { api }: { readonly api: RestApi }) {
    super(scope, id);

    const acl = new CfnWebACL(this, "Resource", {
      scope: "REGIONAL",
      description: "Filters requests to the game API",
      defaultAction: { allow: {} },
      visibilityConfig: visible("WebAcl"),
      rules: [
        managed("AWSManagedRulesAmazonIpReputationList", 0),
        managed("AWSManagedRulesCommonRuleSet", 1),
        managed("AWSManagedRulesKnownBadInputsRuleSet", 2),
        {
          name: "RateByAddress",
          priority: 3,
          action: { block: {} },
          // In five minutes. The throttle of a key allows the same number.
          statement: { rateBasedStatement: { limit: 3_000, aggregateKeyType: "IP" } },
          visibilityConfig: visible("RateByAddress"),
        },
      ],
    });
    new CfnWebACLAssociation(this, "Association", {
      resourceArn: api.deploymentStage.stageArn,
      webAclArn: acl.attrArn,
    });
  }
}

function managed(name: string, priority: number): CfnWebACL.RuleProperty {
  return {
    name,
    priority,
    overrideAction: { none: {} },
    statement: { managedRuleGroupStatement: { vendorName: "AWS", name } },
    visibilityConfig: visible(name),
  };
}

/** No samples: they contain headers, so also keys. */
function visible(metricName: string): CfnWebACL.VisibilityConfigProperty {
  return { cloudWatchMetricsEnabled: true, sampledRequestsEnabled: false, metricName };
}
