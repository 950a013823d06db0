"""Decides what API Gateway answers to a request, from the template of the API.

Only the rules that the stacks use: resources, API keys, and models of request bodies. moto stores
models without using them, so this reads the template.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

import json

from jsonschema import Draft4Validator, validators

# In draft 4 a number that is written with a fraction is no integer, not even 2.0.
Validator = validators.extend(
    Draft4Validator,
    type_checker=Draft4Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


class Gateway:
    def __init__(self, template, keys):
        self.resources = template["Resources"]
        self.keys = keys
        self.methods = {
            (method["HttpMethod"], self.path(method["ResourceId"])): method
            for method in self.of_type("AWS::ApiGateway::Method").values()
        }
        self.responses = {
            response["ResponseType"]: response
            for response in self.of_type("AWS::ApiGateway::GatewayResponse").values()
        }

    def of_type(self, name):
        return {
            logical_id: resource["Properties"]
            for logical_id, resource in self.resources.items()
            if resource["Type"] == name
        }

    def path(self, reference):
        if "Ref" not in reference:
            return ""
        resource = self.resources[reference["Ref"]]["Properties"]
        return f"{self.path(resource['ParentId'])}/{resource['PathPart']}"

    def answer(self, request):
        """Returns the type of the gateway's response, or `function`."""
        paths = [path for _, path in self.methods if is_match(path, request["path"])]
        if not paths:
            return "MISSING_AUTHENTICATION_TOKEN"
        method = self.methods.get((request["method"], paths[0])) or self.methods["ANY", paths[0]]
        if method["ApiKeyRequired"] and request.get("apiKey") not in self.keys:
            return "INVALID_API_KEY"
        models = method.get("RequestModels", {})
        media_type = request.get("contentType", "application/json").split(";")[0]
        model = models.get(media_type, models.get("$default"))
        if model and not self.accepts(model, request.get("body")):
            return "BAD_REQUEST_BODY"
        return "function"

    def accepts(self, model, body):
        try:
            # Unverified: API Gateway checks an empty body like an empty object.
            value = json.loads(body or "{}")
        except json.JSONDecodeError:
            return False
        schema = self.resources[model["Ref"]]["Properties"]["Schema"]
        return Validator(schema).is_valid(value)


def is_match(template, path):
    segments, parts = template.split("/"), path.split("/")
    return len(segments) == len(parts) and all(
        part and segment.startswith("{") or segment == part
        for segment, part in zip(segments, parts)
    )
