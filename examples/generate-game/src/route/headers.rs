use lambda_http::request::LambdaRequest;

/// Removes `headers` from a REST API's event that also has `multiValueHeaders`.
///
/// `lambda_http` merges both, and `headers` holds only the last value of each name. A header that
/// was sent twice would then look as if it had been sent once.
pub fn with_repeated_headers(mut event: LambdaRequest) -> LambdaRequest {
    if let LambdaRequest::ApiGatewayV1(request) = &mut event
        && !request.multi_value_headers.is_empty()
    {
        request.headers.clear();
    }
    event
}
