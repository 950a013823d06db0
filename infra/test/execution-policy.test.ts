import assert from "node:assert/strict";
import { test } from "node:test";
import { Template } from "aws-cdk-lib/assertions";
import { included } from "./support/included.ts";
import { found, type Resource, Synthesis } from "./support/synthesis.ts";
import { VARIANTS } from "./support/variants.ts";

const template = Template.fromStack(included("../../execution-policy.yaml"));
const policies = Object.values(found(template, "AWS::IAM::ManagedPolicy"));
const statements: readonly Statement[] = policies.flatMap(
  ({ Properties }) => Properties.PolicyDocument.Statement,
);
const allowed = new Set(statements.flatMap(({ Action }) => Action));

for (const [variant, environment] of Object.entries(VARIANTS)) {
  test(`CloudFormation may do what its resources need, and no less: ${variant}`, () => {
    for (const [type, resources] of byType(new Synthesis(environment))) {
      const { always, when = [] } = NEEDS[type] ?? {};
      assert.ok(always, `nobody wrote down what CloudFormation needs for ${type}`);
      for (const action of always) {
        assert.ok(allowed.has(action), `${type} needs ${action}`);
      }
      for (const [property, actions] of when) {
        if (resources.some(({ Properties }) => property in Properties)) {
          for (const action of actions) {
            assert.ok(allowed.has(action), `${type} with ${property} needs ${action}`);
          }
        }
      }
    }
  });
}

test("no action is a pattern, listed twice or unused", () => {
  const needed = new Set([
    ...Object.values(NEEDS).flatMap(({ always, when = [] }) => [
      ...always,
      ...when.flatMap(([, actions]) => actions),
    ]),
    ...OF_THE_DEPLOYMENT,
  ]);
  assert.deepEqual([...allowed].sort(), [...needed].sort());
  for (const action of allowed) {
    assert.doesNotMatch(action, /\*/);
  }
  assert.equal(statements.flatMap(({ Action }) => Action).length, allowed.size);
});

test("service-linked roles may be created for the listed services only", () => {
  const [statement, ...others] = statements.filter(({ Action }) =>
    [Action].flat().includes("iam:CreateServiceLinkedRole"),
  );
  assert.deepEqual(others, []);
  const { "iam:AWSServiceName": services } = statement?.Condition?.StringEquals ?? {};
  assert.ok(services?.includes("dsql.amazonaws.com"));
});

test("CloudFormation may pass roles only to the services that assume them", () => {
  const assuming = Object.values(VARIANTS).flatMap((environment) =>
    new Synthesis(environment)
      .resources("AWS::IAM::Role")
      .map(({ Properties }) => Properties.AssumeRolePolicyDocument.Statement[0].Principal.Service),
  );
  const passing = statements.find(({ Action }) => Action === "iam:PassRole");
  const { "iam:PassedToService": services = [] } = passing?.Condition?.StringEquals ?? {};
  assert.deepEqual([...services].sort(), [...new Set(assuming)].sort());
});

test("the policies are within IAM's limit of characters", () => {
  for (const { Properties } of policies) {
    // IAM does not count white space. The placeholders are longer than their values.
    const { length } = JSON.stringify(Properties.PolicyDocument);
    assert.ok(length < 6_144, `one has ${length} characters, IAM takes 6,144`);
  }
});

function byType(synthesis: Synthesis): Map<string, readonly Resource[]> {
  const resources = synthesis.templates.flatMap((template) =>
    Object.values((template.toJSON()["Resources"] ?? {}) as Record<string, Resource>),
  );
  const types = new Map<string, Resource[]>();
  for (const resource of resources) {
    types.set(resource.Type, [...(types.get(resource.Type) ?? []), resource]);
  }
  return types;
}

interface Statement {
  readonly Action: string | readonly string[];
  readonly Condition?: { readonly StringEquals: Record<string, readonly string[]> };
}

interface Needs {
  readonly always: readonly string[];
  readonly when?: readonly (readonly [string, readonly string[]])[];
}

const of = (service: string, ...actions: string[]) => actions.map((one) => `${service}:${one}`);

const TAGS = ["ListTagsForResource", "TagResource", "UntagResource"];
const KEY_USE = of("kms", "CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKey");
const GATEWAY: Needs = {
  // PUT and DELETE of /tags change tags.
  always: of("apigateway", "DELETE", "GET", "PATCH", "POST", "PUT"),
};

/**
 * The actions of each type's handlers, from the schemas of the CloudFormation registry. Maintained by
 * hand: a type without an entry fails the test.
 */
const NEEDS: Readonly<Record<string, Needs>> = {
  "AWS::ApiGateway::ApiKey": GATEWAY,
  "AWS::ApiGateway::Authorizer": GATEWAY,
  "AWS::ApiGateway::Deployment": GATEWAY,
  "AWS::ApiGateway::GatewayResponse": GATEWAY,
  "AWS::ApiGateway::Method": GATEWAY,
  "AWS::ApiGateway::Model": GATEWAY,
  "AWS::ApiGateway::RequestValidator": GATEWAY,
  "AWS::ApiGateway::Resource": GATEWAY,
  "AWS::ApiGateway::RestApi": GATEWAY,
  "AWS::ApiGateway::Stage": GATEWAY,
  "AWS::ApiGateway::UsagePlan": GATEWAY,
  "AWS::ApiGateway::UsagePlanKey": GATEWAY,
  "AWS::Backup::BackupPlan": {
    always: of(
      "backup",
      ...["CreateBackupPlan", "DeleteBackupPlan", "GetBackupPlan", "ListTags", "TagResource"],
      ...["UntagResource", "UpdateBackupPlan"],
    ),
  },
  "AWS::Backup::BackupSelection": {
    always: [
      ...of("backup", "CreateBackupSelection", "DeleteBackupSelection", "GetBackupSelection"),
      "iam:GetRole",
      "iam:PassRole",
      "iam:CreateServiceLinkedRole",
    ],
  },
  "AWS::Backup::BackupVault": {
    always: [
      ...of("backup", "CreateBackupVault", "DescribeBackupVault", "TagResource", "UntagResource"),
      "backup-storage:MountCapsule",
    ],
    when: [["EncryptionKeyArn", [...KEY_USE, "kms:RetireGrant"]]],
  },
  "AWS::Budgets::Budget": {
    always: of("budgets", "ModifyBudget", "ViewBudget", ...TAGS),
  },
  "AWS::CloudFormation::WaitConditionHandle": { always: [] },
  "AWS::CloudWatch::Alarm": {
    always: of("cloudwatch", "DeleteAlarms", "DescribeAlarms", "PutMetricAlarm", ...TAGS),
  },
  "AWS::CloudWatch::Dashboard": {
    always: of("cloudwatch", "DeleteDashboards", "GetDashboard", "PutDashboard"),
  },
  "AWS::DSQL::Cluster": {
    always: [
      ...of("dsql", "CreateCluster", "DeleteCluster", "GetCluster", "UpdateCluster", ...TAGS),
      "dsql:GetVpcEndpointServiceName",
      // The first cluster of an account creates the role of the service.
      "iam:CreateServiceLinkedRole",
    ],
    when: [
      ["KmsEncryptionKey", KEY_USE],
      [
        "MultiRegionProperties",
        of(
          "dsql",
          "AddPeerCluster",
          "PutMultiRegionProperties",
          "PutWitnessRegion",
          "RemovePeerCluster",
        ),
      ],
      ["PolicyDocument", of("dsql", "DeleteClusterPolicy", "GetClusterPolicy", "PutClusterPolicy")],
    ],
  },
  "AWS::EC2::SecurityGroup": {
    always: of(
      "ec2",
      ...["AuthorizeSecurityGroupEgress", "CreateSecurityGroup", "CreateTags", "DeleteTags"],
      ...["DeleteSecurityGroup", "DescribeSecurityGroups", "RevokeSecurityGroupEgress"],
    ),
  },
  "AWS::EC2::SecurityGroupEgress": {
    always: of(
      "ec2",
      ...[
        "AuthorizeSecurityGroupEgress",
        "DescribeSecurityGroupRules",
        "RevokeSecurityGroupEgress",
      ],
    ),
  },
  "AWS::EC2::SecurityGroupIngress": {
    always: of(
      "ec2",
      ...["AuthorizeSecurityGroupIngress", "DescribeSecurityGroupRules"],
      "RevokeSecurityGroupIngress",
    ),
  },
  "AWS::EC2::VPCEndpoint": {
    always: of(
      "ec2",
      ...["CreateVpcEndpoint", "DeleteVpcEndpoints", "DescribeVpcEndpoints", "ModifyVpcEndpoint"],
    ),
  },
  "AWS::Events::Rule": {
    always: of(
      "events",
      ...["DeleteRule", "DescribeRule", "ListTargetsByRule", "PutRule", "PutTargets"],
      ...["RemoveTargets", ...TAGS],
    ),
  },
  "AWS::FIS::ExperimentTemplate": {
    always: [
      ...of("fis", "CreateExperimentTemplate", "DeleteExperimentTemplate"),
      ...of("fis", "GetExperimentTemplate", "UpdateExperimentTemplate", ...TAGS),
      "iam:PassRole",
    ],
  },
  "AWS::IAM::Role": {
    always: of(
      "iam",
      ...[
        "CreateRole",
        "DeleteRole",
        "DeleteRolePolicy",
        "GetRole",
        "GetRolePolicy",
        "PutRolePolicy",
      ],
      ...["TagRole", "UntagRole", "UpdateAssumeRolePolicy", "UpdateRole", "UpdateRoleDescription"],
    ),
    when: [
      ["ManagedPolicyArns", of("iam", "AttachRolePolicy", "DetachRolePolicy")],
      ["PermissionsBoundary", of("iam", "PutRolePermissionsBoundary")],
    ],
  },
  "AWS::Lambda::Alias": {
    always: of("lambda", "CreateAlias", "DeleteAlias", "GetAlias", "UpdateAlias"),
  },
  "AWS::Lambda::Function": {
    always: [
      ...of(
        "lambda",
        ...["CreateFunction", "DeleteFunction", "GetFunction", "GetFunctionConfiguration"],
        ...["ListTags", "TagResource", "UntagResource", "UpdateFunctionCode"],
        "UpdateFunctionConfiguration",
      ),
      "iam:PassRole",
      "s3:GetObject",
    ],
    when: [
      [
        "ReservedConcurrentExecutions",
        of("lambda", "DeleteFunctionConcurrency", "PutFunctionConcurrency"),
      ],
      [
        "VpcConfig",
        of(
          "ec2",
          "DescribeNetworkInterfaces",
          "DescribeSubnets",
          "DescribeVpcs",
          "DescribeSecurityGroups",
        ),
      ],
    ],
  },
  "AWS::Lambda::Permission": {
    always: of("lambda", "AddPermission", "GetPolicy", "RemovePermission"),
  },
  "AWS::Lambda::Version": {
    always: of("lambda", "GetFunction", "ListVersionsByFunction", "PublishVersion"),
  },
  "AWS::Logs::LogGroup": {
    always: of(
      "logs",
      ...[
        "CreateLogGroup",
        "DeleteLogGroup",
        "DeleteRetentionPolicy",
        "PutRetentionPolicy",
        ...TAGS,
      ],
    ),
    when: [["KmsKeyId", of("logs", "AssociateKmsKey", "DisassociateKmsKey")]],
  },
  "AWS::Logs::MetricFilter": {
    always: of("logs", "DeleteMetricFilter", "DescribeMetricFilters", "PutMetricFilter"),
  },
  "AWS::SNS::Subscription": {
    always: of("sns", "GetSubscriptionAttributes", "Subscribe", "Unsubscribe"),
  },
  "AWS::SNS::Topic": {
    always: of(
      "sns",
      ...["CreateTopic", "DeleteTopic", "GetTopicAttributes", "ListSubscriptionsByTopic"],
      ...["SetTopicAttributes", ...TAGS],
    ),
  },
  "AWS::SNS::TopicPolicy": { always: of("sns", "GetTopicAttributes", "SetTopicAttributes") },
  "AWS::SecretsManager::ResourcePolicy": {
    always: of("secretsmanager", "DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy"),
  },
  "AWS::SecretsManager::Secret": {
    always: of(
      "secretsmanager",
      ...["CreateSecret", "DeleteSecret", "DescribeSecret", "GetSecretValue", "TagResource"],
      ...["UntagResource", "UpdateSecret"],
    ),
    when: [["KmsKeyId", KEY_USE]],
  },
  "AWS::WAFv2::WebACL": {
    always: of("wafv2", "CreateWebACL", "DeleteWebACL", "GetWebACL", "UpdateWebACL", ...TAGS),
  },
  "AWS::WAFv2::WebACLAssociation": {
    always: [
      ...of("wafv2", "AssociateWebACL", "DisassociateWebACL", "GetWebACL", "GetWebACLForResource"),
      "apigateway:SetWebACL",
    ],
  },
  "Custom::Bootstrap": { always: ["lambda:InvokeFunction"] },
};

/** Each template reads the version of the CDK bootstrap. */
const OF_THE_DEPLOYMENT = ["ssm:GetParameters"];
