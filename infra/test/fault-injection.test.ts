import assert from "node:assert/strict";
import { test } from "node:test";
import { found, only, Synthesis } from "./support/synthesis.ts";
import { VARIANTS } from "./support/variants.ts";

const TEMPLATE = "AWS::FIS::ExperimentTemplate";
const ACTION = "aws:dsql:cluster-connection-failure";

const synthesis = new Synthesis(VARIANTS["multi-region"]);
const { api, storage } = synthesis;
const [template, { Properties }] = only(api, TEMPLATE);

test("an experiment makes connections to this Region's cluster fail for ten minutes", () => {
  const [cluster] = only(storage, "AWS::DSQL::Cluster");
  const { home, ...others } = Properties.Targets;
  assert.deepEqual(others, {});
  assert.equal(home.ResourceType, "aws:dsql:cluster");
  assert.equal(home.ResourceArns.length, 1);
  assert.deepEqual(synthesis.imported(home.ResourceArns[0]), {
    "Fn::GetAtt": [cluster, "ResourceArn"],
  });
  assert.deepEqual(Properties.Actions, {
    failConnections: {
      ActionId: ACTION,
      Parameters: { duration: "PT10M", percentage: "100" },
      Targets: { Clusters: "home" },
    },
  });
  api.hasOutput("ExperimentTemplateId", { Value: { "Fn::GetAtt": [template, "Id"] } });
});

test("without a peer half of the connections fail", () => {
  const { api } = new Synthesis({ GAME_FAULT_INJECTION: "on" });
  const [, { Properties }] = only(api, TEMPLATE);
  assert.equal(Properties.Actions.failConnections.Parameters.percentage, "50");
});

test("the experiment stops as soon as callers get errors", () => {
  const [condition, ...others] = Properties.StopConditions;
  assert.deepEqual(others, []);
  assert.equal(condition.Source, "aws:cloudwatch:alarm");
  const [alarm] = condition.Value["Fn::GetAtt"];
  const { [alarm]: serverErrors } = found(api, "AWS::CloudWatch::Alarm");
  assert.equal(serverErrors?.Properties.MetricName, "5XXError");
});

test("AWS FIS may assume the experiment's role for an experiment of this account", () => {
  const [role, { Properties: properties }] = only(api, "AWS::IAM::Role");
  assert.deepEqual(Properties.RoleArn, { "Fn::GetAtt": [role, "Arn"] });
  assert.equal(properties.ManagedPolicyArns, undefined);
  const [{ Principal, Condition }, ...others] = properties.AssumeRolePolicyDocument.Statement;
  assert.deepEqual(others, []);
  assert.deepEqual(Principal, { Service: "fis.amazonaws.com" });
  assert.deepEqual(Condition.StringEquals, { "aws:SourceAccount": { Ref: "AWS::AccountId" } });
  assert.match(
    JSON.stringify(Condition.ArnLike["aws:SourceArn"]),
    /:fis:us-east-1:.*:experiment\/\*"/,
  );
});

test("the experiment's role may only fail connections to this cluster", () => {
  const [, { Properties: role }] = only(api, "AWS::IAM::Role");
  const [policy, ...others] = role.Policies;
  assert.deepEqual(others, []);
  const [inject, describe, tags, ...rest] = policy.PolicyDocument.Statement;
  assert.deepEqual(rest, []);
  const [arn] = Properties.Targets.home.ResourceArns;
  assert.deepEqual(inject, {
    Effect: "Allow",
    Action: "dsql:InjectError",
    Resource: "*",
    Condition: {
      StringEquals: { "dsql:FisActionId": ACTION },
      "ForAllValues:ArnEquals": { "dsql:FisTargetArns": arn },
    },
  });
  assert.deepEqual(describe, { Effect: "Allow", Action: "dsql:GetCluster", Resource: arn });
  assert.deepEqual(tags, { Effect: "Allow", Action: "tag:GetResources", Resource: "*" });
});

test("there is no experiment unless it is turned on", () => {
  assert.deepEqual(new Synthesis().resources(TEMPLATE), []);
});
