"""Deploys the stacks to a fake control plane and checks where the cluster's values arrive.

moto creates only some of the resources, in its own order, and accepts what AWS would refuse. The
tests show that values resolve across stacks, not that a deployment succeeds.
"""

import ast
import json
import logging
import os
import unittest
from pathlib import Path

import boto3
from moto import mock_aws
from moto.iam.access_control import IAMPolicy, PermissionResult

from wiring import control_plane
from wiring.gateway import Gateway

# moto logs each resource type that it cannot create: alarms, the stage, keys, secrets.
logging.disable(logging.WARNING)

REGION = "us-east-1"
TEMPLATES = Path(os.environ["TEMPLATES"])
EXAMPLE = Path(__file__).parents[3] / "examples/generate-game"


class Wiring(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for context in (mock_aws(config={"lambda": {"use_docker": False}}), control_plane.installed()):
            cls.enterClassContext(context)
        control_plane.Alias.made.clear()
        control_plane.Cluster.policies.clear()
        control_plane.Permission.granted.clear()
        control_plane.Bootstrap.runs.clear()
        # `cdk bootstrap` creates this parameter.
        client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String"
        )
        for asset in assets():
            upload(asset)
        cls.stacks = {layer: deploy(layer) for layer in ("Storage", "Functions", "Api")}
        (cls.cluster,) = (
            client("dsql").get_cluster(identifier=cluster["identifier"])
            for cluster in client("dsql").list_clusters()["clusters"]
        )

    def test_the_endpoint_reaches_every_program(self):
        for program in ("Makes up games", "Prepares the cluster", "Sweeps old outcomes"):
            variables = function(program)["Environment"]["Variables"]
            self.assertEqual(variables["DSQL_ENDPOINT"], self.cluster["endpoint"])
        self.assertEqual(self.stacks["Storage"]["ClusterEndpoint"], self.cluster["endpoint"])

    def test_the_policies_resolve_to_the_cluster(self):
        another = self.cluster["arn"][:-26] + "z" * 26
        for program, action in (
            ("Makes up games", "dsql:DbConnect"),
            ("Prepares the cluster", "dsql:DbConnectAdmin"),
            ("Sweeps old outcomes", "dsql:DbConnect"),
        ):
            for candidate in ("dsql:DbConnect", "dsql:DbConnectAdmin", "dsql:DeleteCluster"):
                with self.subTest(program=program, action=candidate):
                    self.assertEqual(
                        permitted(program, candidate, self.cluster["arn"]), candidate == action
                    )
            self.assertFalse(permitted(program, action, another))

    def test_the_caller_may_call_the_bootstrap_and_no_other_function(self):
        caller = "AWS CDK resource provider framework"
        for program, may in (("Prepares the cluster", True), ("Makes up games", False)):
            arn = function(program)["FunctionArn"]
            self.assertEqual(permitted(caller, "lambda:InvokeFunction", arn), may)

    def test_the_bootstrap_runs_for_the_role_of_the_function(self):
        (run,) = control_plane.Bootstrap.runs
        game, bootstrap = function("Makes up games"), function("Prepares the cluster")
        self.assertEqual(run.properties["endpoint"], self.cluster["endpoint"])
        self.assertEqual(run.properties["grantee"], game["Role"])
        variables = bootstrap["Environment"]["Variables"]
        self.assertEqual(variables["GAME_ROLE_ARN"], game["Role"])
        sweep = function("Sweeps old outcomes")
        self.assertEqual(run.properties["sweeper"], sweep["Role"])
        self.assertEqual(variables["GAME_SWEEPER_ROLE_ARN"], sweep["Role"])
        self.assertEqual(
            run.properties["ServiceToken"],
            function("AWS CDK resource provider framework")["FunctionArn"],
        )

    def test_every_method_calls_the_function_and_wants_a_key(self):
        gateway = client("apigateway")
        (api,) = gateway.get_rest_apis()["items"]
        methods = {}
        for resource in gateway.get_resources(restApiId=api["id"])["items"]:
            for verb in resource.get("resourceMethods", {}):
                methods[f"{verb} {resource['path']}"] = gateway.get_method(
                    restApiId=api["id"], resourceId=resource["id"], httpMethod=verb
                )
        self.assertEqual(
            sorted(methods),
            [
                "ANY /games",
                "ANY /games/{id}",
                "DELETE /games/{id}",
                "GET /games",
                "GET /games/{id}",
                "POST /games",
                "PUT /games/{id}",
            ],
        )
        live = f"{function('Makes up games')['FunctionArn']}:live/invocations"
        for method in methods.values():
            self.assertTrue(method["apiKeyRequired"])
            self.assertTrue(method["methodIntegration"]["uri"].endswith(live), method)

    def test_the_gateway_answers_as_the_gateway_of_the_demo(self):
        (template,) = TEMPLATES.glob("*-Api.template.json")
        gateway = Gateway(json.loads(template.read_text()), keys={"secret"})
        requests = json.loads((EXAMPLE / "gateway-requests.json").read_text())
        for request in requests:
            with self.subTest(request=request):
                self.assertEqual(gateway.answer(request), request["answer"])
        answers = {request["answer"] for request in requests} - {"function"}
        rows = {row["type"]: row for row in json.loads((EXAMPLE / "gateway-responses.json").read_text())}
        for answer in answers:
            with self.subTest(answer=answer):
                row, response = rows[answer], gateway.responses[answer]
                self.assertEqual(response["StatusCode"], str(row["status"]))
                body = json.loads(response["ResponseTemplates"]["application/problem+json"])
                self.assertEqual((body["title"], body["detail"]), (row["title"], row["detail"]))

    def test_the_alias_points_to_the_version_of_the_output(self):
        (alias,) = control_plane.Alias.made
        self.assertEqual(alias.properties["FunctionName"], function("Makes up games")["FunctionName"])
        self.assertEqual(
            alias.properties["FunctionVersion"], self.stacks["Functions"]["GameFunctionVersion"]
        )

    def test_the_api_may_call_the_alias_and_nothing_else(self):
        (alias,) = control_plane.Alias.made
        granted = {
            permission.properties["FunctionName"]
            for permission in control_plane.Permission.granted
            if permission.properties["Principal"] == "apigateway.amazonaws.com"
        }
        self.assertEqual(granted, {alias.arn})

    def test_the_rule_invokes_the_sweep_once_a_day(self):
        events, sweep = client("events"), function("Sweeps old outcomes")
        (rule,) = events.list_rules()["Rules"]
        self.assertEqual(rule["ScheduleExpression"], "cron(30 4 * * ? *)")
        (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        self.assertEqual(target["Arn"], sweep["FunctionArn"])
        (permission,) = (
            permission.properties
            for permission in control_plane.Permission.granted
            if permission.properties["Principal"] == "events.amazonaws.com"
        )
        self.assertEqual(permission["FunctionName"], sweep["FunctionArn"])
        self.assertEqual(permission["SourceArn"], rule["Arn"])

    def test_the_cluster_refuses_other_accounts(self):
        (policy,) = control_plane.Cluster.policies
        (statement,) = json.loads(policy)["Statement"]
        account = self.cluster["arn"].split(":")[4]
        self.assertEqual(statement["Effect"], "Deny")
        self.assertEqual(
            statement["Condition"], {"StringNotEquals": {"aws:PrincipalAccount": account}}
        )

    def test_the_cluster_is_protected(self):
        self.assertTrue(self.cluster["deletionProtectionEnabled"])


def client(service):
    return boto3.client(
        service,
        region_name=REGION,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


def assets():
    """Returns where the templates expect the functions' code."""
    for template in TEMPLATES.glob("*.template.json"):
        for resource in json.loads(template.read_text())["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                yield resource["Properties"]["Code"]


def upload(asset):
    s3 = client("s3")
    s3.create_bucket(Bucket=asset["S3Bucket"])
    s3.put_object(Bucket=asset["S3Bucket"], Key=asset["S3Key"], Body=b"code")


def deploy(layer):
    """Deploys a stack and returns its outputs."""
    (template,) = TEMPLATES.glob(f"*-{layer}.template.json")
    name = template.name.removesuffix(".template.json")
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=name, TemplateBody=template.read_text(), Capabilities=["CAPABILITY_IAM"]
    )
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise RuntimeError(f"{name}: {stack['StackStatus']}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def function(description):
    """Returns the function whose description begins like this."""
    functions = client("lambda").list_functions()["Functions"]
    (found,) = (one for one in functions if one["Description"].startswith(description))
    return found


def permitted(description, action, resource):
    """Returns whether the role of a function allows an action."""
    iam, role = client("iam"), function(description)["Role"].split("/")[-1]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    # moto keeps what CloudFormation gave it as Python's text of it.
    document = ast.literal_eval(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    decision = IAMPolicy(json.dumps(document)).is_action_permitted(action, resource)
    return decision is PermissionResult.PERMITTED
