//! Checks a body against the model of its operation, as the deployed gateway does.
//!
//! The models come from `openapi.json`, as in `infra/lib/openapi.ts`. API Gateway reads them as
//! JSON Schema draft 4. The wording of errors follows API Gateway's logs; the exact text is
//! unverified.

use std::sync::LazyLock;

use axum::http::Method;
use serde_json::{Value, json};

/// Checks a body. An operation without a model takes any body.
///
/// # Errors
///
/// All errors in one text, as in `$context.error.validationErrorString`.
pub(super) fn check(method: &Method, path: &str, body: &str) -> Result<(), String> {
    let operation = &DOCUMENT["paths"][path][method.as_str().to_ascii_lowercase()];
    let content = &operation["requestBody"]["content"]["application/json"];
    let Some(reference) = content["schema"]["$ref"].as_str() else {
        return Ok(());
    };
    let schema = DOCUMENT.pointer(reference.trim_start_matches('#'));
    let schema = schema.expect("the document has its schemas");
    let body = match body {
        // Unverified: API Gateway checks an empty body like an empty object.
        "" => json!({}),
        body => serde_json::from_str(body).map_err(|_| "[the body is not JSON]".to_owned())?,
    };
    let mut errors = Vec::new();
    check_value(schema, &body, &mut errors);
    match errors.as_slice() {
        [] => Ok(()),
        errors => Err(format!("[{}]", errors.join(", "))),
    }
}

/// Checks the keywords that the models use. `infra` removes `pattern` from the models.
fn check_value(schema: &Value, value: &Value, errors: &mut Vec<String>) {
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        name => vec![name.clone()],
    };
    let found = type_of(value);
    if !types.iter().any(|name| name == found) {
        let types = Value::Array(types);
        errors.push(format!(
            "instance type ({found}) does not match any allowed primitive type (allowed: {types})"
        ));
        return;
    }
    match value {
        Value::String(text) => check_text(schema, text, errors),
        Value::Number(_) => check_range(schema, value, errors),
        Value::Object(_) => check_members(schema, value, errors),
        _ => {}
    }
}

fn check_members(schema: &Value, object: &Value, errors: &mut Vec<String>) {
    let required = schema["required"].as_array().into_iter().flatten();
    let missing: Vec<_> = required
        .filter_map(Value::as_str)
        .filter(|name| object.get(name).is_none())
        .collect();
    if !missing.is_empty() {
        let missing = json!(missing);
        errors.push(format!(
            "object has missing required properties ({missing})"
        ));
    }
    let mut unknown = Vec::new();
    for (name, member) in object.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => check_value(schema, member, errors),
            None => unknown.push(name),
        }
    }
    if schema["additionalProperties"] == false && !unknown.is_empty() {
        let unknown = json!(unknown);
        errors.push(format!(
            "object instance has properties which are not allowed by the schema: {unknown}"
        ));
    }
}

fn check_text(schema: &Value, text: &str, errors: &mut Vec<String>) {
    let length = text.chars().count() as u64;
    if let Some(minimum) = schema["minLength"].as_u64()
        && length < minimum
    {
        errors.push(format!(
            "string {text:?} is too short (length: {length}, required minimum: {minimum})"
        ));
    }
    if let Some(maximum) = schema["maxLength"].as_u64()
        && length > maximum
    {
        errors.push(format!(
            "string {text:?} is too long (length: {length}, maximum allowed: {maximum})"
        ));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.iter().any(|word| word == text)
    {
        let words = json!(words);
        errors.push(format!(
            "instance value ({text:?}) not found in enum (possible values: {words})"
        ));
    }
}

fn check_range(schema: &Value, value: &Value, errors: &mut Vec<String>) {
    let number = value.as_f64();
    if let Some(minimum) = schema["minimum"].as_f64()
        && number < Some(minimum)
    {
        errors.push(format!(
            "numeric instance is lower than the required minimum \
                     (minimum: {minimum}, found: {value})"
        ));
    }
    if let Some(maximum) = schema["maximum"].as_f64()
        && number > Some(maximum)
    {
        errors.push(format!(
            "numeric instance is greater than the required maximum \
                     (maximum: {maximum}, found: {value})"
        ));
    }
}

/// Returns the type in draft 4, where `2.0` is no integer.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let document = include_str!("../../../generate-game/openapi.json");
    serde_json::from_str(document).expect("the document is JSON")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong() {
        for (body, parts) in [
            ("{", &["[the body is not JSON]"][..]),
            (
                "[]",
                &[
                    "instance type (array) does not match any allowed primitive type \
                     (allowed: [\"object\"])",
                ],
            ),
            (
                r#"{"title":"Go","genre":"board"}"#,
                &[r#"object has missing required properties (["players","minutes"])"#],
            ),
            (
                r#"{"title":"","genre":"x","players":0,"minutes":1441,"a":1}"#,
                &[
                    r#"string "" is too short (length: 0, required minimum: 1)"#,
                    r#"instance value ("x") not found in enum (possible values: ["adventure","#,
                    "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
                    "numeric instance is greater than the required maximum \
                     (maximum: 1440, found: 1441)",
                    r#"object instance has properties which are not allowed by the schema: ["a"]"#,
                ],
            ),
        ] {
            let errors = check(&Method::PUT, "/games/{id}", body).unwrap_err();
            for part in parts {
                assert!(errors.contains(part), "{body}: {errors}");
            }
        }
    }

    #[test]
    fn longest_title_is_counted_in_characters() {
        for (length, accepted) in [(100, true), (101, false)] {
            let body = json!({ "title": "é".repeat(length) }).to_string();
            let checked = check(&Method::POST, "/games", &body);
            assert_eq!(checked.is_ok(), accepted, "{checked:?}");
        }
    }

    #[test]
    fn operation_without_a_model_takes_any_body() {
        for (method, path) in [
            (Method::GET, "/games"),
            (Method::DELETE, "/games/{id}"),
            (Method::PATCH, "/games"),
        ] {
            assert_eq!(check(&method, path, "{"), Ok(()), "{method} {path}");
        }
    }
}
