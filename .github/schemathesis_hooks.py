"""What schemathesis sends, as clients write it."""

import schemathesis


def written(value):
    """Writes whole numbers without a fraction. To JSON Schema 62.0 is an integer; to the draft 4
    by which API Gateway checks a request it is none, and no client writes a count like that."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: written(inner) for name, inner in value.items()}
        case list():
            return [written(inner) for inner in value]
        case _:
            return value


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict):
        for name, value in case.body.items():
            case.body[name] = written(value)
