"""The resources of these stacks that moto lacks: the cluster, the alias, and the run of the bootstrap."""

from unittest import mock

from moto.awslambda.models import LambdaVersion
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.dsql.models import dsql_backends


class Cluster(CloudFormationModel):
    """AWS::DSQL::Cluster. moto has the service, but no policies of clusters."""

    policies = []

    def __init__(self, cluster, policy):
        self.cluster = cluster
        Cluster.policies.append(policy)

    @property
    def physical_resource_id(self):
        return self.cluster.identifier

    @staticmethod
    def cloudformation_type():
        return "AWS::DSQL::Cluster"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        properties = cloudformation_json["Properties"]
        cluster = dsql_backends[account_id][region_name].create_cluster(
            deletion_protection_enabled=properties["DeletionProtectionEnabled"],
            tags={tag["Key"]: tag["Value"] for tag in properties["Tags"]},
            client_token=None,
        )
        # moto's endpoint lacks `.dsql.`.
        cluster.endpoint = f"{cluster.identifier}.dsql.{region_name}.on.aws"
        return cls(cluster, properties["PolicyDocument"])

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr in ATTRIBUTES

    def get_cfn_attribute(self, attribute_name):
        return getattr(self.cluster, ATTRIBUTES[attribute_name])


class Alias(CloudFormationModel):
    """AWS::Lambda::Alias, which records its properties."""

    made = []

    def __init__(self, properties, account_id, region_name):
        self.properties = properties
        self.arn = f"arn:aws:lambda:{region_name}:{account_id}:function:{properties['FunctionName']}:{properties['Name']}"
        Alias.made.append(self)

    @property
    def physical_resource_id(self):
        return self.arn

    @staticmethod
    def cloudformation_type():
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        return cls(cloudformation_json["Properties"], account_id, region_name)


class Permission(CloudFormationModel):
    """AWS::Lambda::Permission of an alias. moto would look the alias up among its own."""

    granted = []

    def __init__(self, properties):
        self.properties = properties
        Permission.granted.append(self)

    @property
    def physical_resource_id(self):
        return "permission"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        return cls(cloudformation_json["Properties"])


class Bootstrap(CloudFormationModel):
    """Custom::Bootstrap, which records its properties."""

    runs = []

    def __init__(self, properties):
        self.properties = properties
        Bootstrap.runs.append(self)

    @property
    def physical_resource_id(self):
        return "bootstrap"

    @staticmethod
    def cloudformation_type():
        return "Custom::Bootstrap"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    ):
        return cls(cloudformation_json["Properties"])


def installed():
    """Returns a context in which moto uses the resources above."""
    known = parsing.resource_class_from_type

    def resource_class_from_type(resource_type):
        # moto would run the functions of custom resources in Docker.
        ours = {Bootstrap.cloudformation_type(): Bootstrap, "AWS::Lambda::Permission": Permission}
        return ours.get(resource_type) or known(resource_type)

    parsing.get_model_map.cache_clear()
    # moto's versions have no attribute for their number.
    LambdaVersion.get_cfn_attribute = lambda version, _: str(version.version)
    return mock.patch.object(parsing, "resource_class_from_type", resource_class_from_type)


ATTRIBUTES = {"Endpoint": "endpoint", "ResourceArn": "arn", "Identifier": "identifier"}
