"""Runs parliament on every policy of the templates: policies.py template..

parliament knows the actions of all services and their resources. References of CloudFormation are
replaced by examples of the same format.
"""

import json
import re
import sys
from pathlib import Path

import parliament

ACCOUNT = "123456789012"


class Templates:
    def __init__(self, paths):
        self.templates = {path: json.loads(Path(path).read_text()) for path in paths}

    def policies(self):
        """Yields each policy with its location."""
        for path, template in self.templates.items():
            for name, resource in template.get("Resources", {}).items():
                properties = resource.get("Properties", {})
                where = f"{Path(path).parent.name}/{Path(path).name}: {name}"
                for policy in properties.get("Policies", []):
                    yield where, self.filled(policy["PolicyDocument"], template)
                document = next(
                    (properties[name] for name in DOCUMENTS if name in properties), None
                )
                if isinstance(document, str) or isinstance(document, dict) and "Statement" not in document:
                    document = json.loads(self.filled(document, template))
                if document:
                    yield where, self.filled(document, template)

    def filled(self, part, template):
        if isinstance(part, list):
            return [self.filled(one, template) for one in part]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((function, argument),) = part.items()
            if function == "Ref":
                return PSEUDO.get(argument) or self.example(template, argument)
            if function == "Fn::GetAtt":
                name = argument[0] if isinstance(argument, list) else argument.split(".")[0]
                return self.example(template, name)
            if function == "Fn::Join":
                return argument[0].join(map(str, self.filled(argument[1], template)))
            if function == "Fn::Sub":
                return re.sub(r"\$\{([\w:]+)\}", lambda match: PSEUDO.get(match[1], "example"), argument)
            if function == "Fn::ImportValue":
                return self.imported(argument)
            if function == "Fn::If":
                return self.filled(argument[1], template)
            if function == "Fn::Select":
                return self.filled(argument[1], template)[int(argument[0])]
        return {key: self.filled(value, template) for key, value in part.items()}

    def imported(self, export):
        for template in self.templates.values():
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == export:
                    return self.filled(output["Value"], template)
        raise LookupError(f"{export} is exported by no template")

    @staticmethod
    def example(template, name):
        return EXAMPLES[template["Resources"][name]["Type"]] if name in template["Resources"] else name


def main():
    templates = Templates(sys.argv[1:])
    count, faults = 0, []
    for where, policy in templates.policies():
        count += 1
        for statement in policy["Statement"]:
            # parliament checks only the actions of a resource policy.
            if "Principal" in statement:
                del statement["Principal"]
                statement["Resource"] = "*"
            statement.pop("Sid", None)
        for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
            if not (finding.issue in ACKNOWLEDGED or is_newer(finding) or has_colons(finding)):
                faults.append(f"{where}: {finding.issue} {finding.detail} {finding.location}")
    print("\n".join(faults))
    print(f"parliament: {count} policies, {len(faults)} faults")
    sys.exit(bool(faults) or not count)


DOCUMENTS = ("PolicyDocument", "ResourcePolicy", "KeyPolicy")

def is_newer(finding):
    """Returns whether cfn-lint knows the action and the older list of parliament does not."""
    return finding.issue == "UNKNOWN_ACTION" and finding.location["string"] in NEWER


def has_colons(finding):
    """Returns whether the resource is an action of AWS FIS. parliament splits ARNs at all colons.

    https://docs.aws.amazon.com/fis/latest/userguide/security_iam_id-based-policy-examples.html
    """
    return finding.issue == "RESOURCE_MISMATCH" and all(
        mismatch == {
            "action": "fis:CreateExperimentTemplate",
            "required_format": "arn:*:fis:*:*:action/*",
        }
        for mismatch in finding.detail
    )


PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": "",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    # The parameter of execution-policy.yaml.
    "Boundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
}

EXAMPLES = {
    "AWS::DSQL::Cluster": f"arn:aws:dsql:us-east-1:{ACCOUNT}:cluster/abcdefghijklmnopqrstuvwx23",
    "AWS::Lambda::Function": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:example",
    "AWS::Logs::LogGroup": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:example:*",
    "AWS::SNS::Topic": f"arn:aws:sns:us-east-1:{ACCOUNT}:example",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:example",
}

ACKNOWLEDGED = {
    # X-Ray has no resources, and network interfaces have no names before they exist.
    "RESOURCE_STAR",
    # IAM's own examples compare the boundary of a role as a string.
    "MISMATCHED_TYPE_BUT_USABLE",
}

NEWER = {
    "dsql:AddPeerCluster",
    "dsql:DeleteClusterPolicy",
    "dsql:GetClusterPolicy",
    "dsql:GetVpcEndpointServiceName",
    "dsql:InjectError",
    "dsql:PutClusterPolicy",
    "dsql:PutMultiRegionProperties",
    "dsql:PutWitnessRegion",
    "dsql:RemovePeerCluster",
}

main()
