//! The caller of a request, by a name that survives the rotation of API keys.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};

/// Returns the name of the caller: the identity from an authorizer, else the name of the caller
/// that owns the API key, else the key's ID. None of them is secret. Empty if there is neither.
///
/// An API key's ID changes when the key is rotated. The stage therefore has a variable of each
/// caller's key IDs, `caller_NAME=id,id`, which clients cannot set.
pub fn of(request: &Request) -> String {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else {
        return String::new();
    };
    let claims = context.authorizer.fields.get("claims");
    if let Some(subject) = claims.and_then(|claims| claims["sub"].as_str()) {
        return format!("sub:{subject}");
    }
    if let Some(arn) = context.identity.user_arn.as_deref() {
        return format!("iam:{}", without_session(arn));
    }
    let Some(key) = context.identity.api_key_id.as_deref() else {
        return String::new();
    };
    match name_of_key(request, key) {
        Some(name) => format!("caller:{name}"),
        None => key.to_owned(),
    }
}

fn name_of_key(request: &Request, key: &str) -> Option<String> {
    let variables = request.stage_variables_ref()?;
    variables.iter().find_map(|(variable, keys)| {
        let name = variable.strip_prefix("caller_")?;
        keys.split(',').any(|id| id == key).then(|| name.to_owned())
    })
}

/// A role's session name may differ in each process, so it is left out.
fn without_session(arn: &str) -> &str {
    match arn.contains(":assumed-role/") {
        true => arn.rsplit_once('/').map_or(arn, |(role, _session)| role),
        false => arn,
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::request;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn caller_is_the_identity_before_the_key() {
        let role = "arn:aws:sts::123456789012:assumed-role/Player/session-1";
        for (context, expected) in [
            (json!({}), ""),
            (json!({ "identity": { "apiKeyId": "k1" } }), "caller:game"),
            (json!({ "identity": { "apiKeyId": "k2" } }), "caller:game"),
            (json!({ "identity": { "apiKeyId": "k3" } }), "k3"),
            (json!({ "identity": { "apiKeyId": "k" } }), "k"),
            (
                json!({ "identity": { "apiKeyId": "k1", "userArn": role } }),
                "iam:arn:aws:sts::123456789012:assumed-role/Player",
            ),
            (
                json!({ "identity": { "userArn": "arn:aws:iam::123456789012:user/dept/ann" } }),
                "iam:arn:aws:iam::123456789012:user/dept/ann",
            ),
            (
                json!({
                    "identity": { "apiKeyId": "k1" },
                    "authorizer": { "claims": { "sub": "7", "iss": "https://issuer" } },
                }),
                "sub:7",
            ),
        ] {
            assert_eq!(of(&event(&context)), expected, "{context}");
        }
    }

    fn event(context: &Value) -> Request {
        let mut context = context.clone();
        context["stage"] = json!("prod");
        context["httpMethod"] = json!("POST");
        let event = json!({
            "resource": "/games",
            "path": "/games",
            "httpMethod": "POST",
            "headers": { "caller_game": "k3" },
            "multiValueHeaders": {},
            "stageVariables": { "caller_game": "k1,k2", "other": "k3" },
            "requestContext": context,
            "body": null,
            "isBase64Encoded": false,
        });
        request::from_str(&event.to_string()).unwrap()
    }
}
