import { readFileSync } from "node:fs";
import { ResponseType, type RestApi } from "aws-cdk-lib/aws-apigateway";

/** The content of an answer that the gateway gives itself. */
interface Answer {
  /** Defaults to the gateway's own. */
  readonly status?: number;
  readonly title?: string;
  /** Defaults to the gateway's own message. */
  readonly detail?: string;
}

/** A row of `gateway-responses.json`. The demo's gateway reads the same table. */
export interface GatewayAnswer extends Answer {
  readonly type: string;
  /** Seconds. */
  readonly retryAfter?: number;
  /** Replaces the answer of an API whose callers sign their requests. */
  readonly signed?: Answer;
}

/** Gives the gateway's own errors the format of the function's errors: a problem document. */
export function addGatewayResponses(
  api: RestApi,
  answers: readonly GatewayAnswer[],
  { signed }: { readonly signed: boolean },
): void {
  for (const answer of answers) {
    const { type, retryAfter } = answer;
    const content = (signed && answer.signed) || answer;
    const responseHeaders: Record<string, string> = { "Cache-Control": "'no-store'" };
    if (retryAfter !== undefined) {
      responseHeaders["Retry-After"] = `'${retryAfter}'`;
    }
    api.addGatewayResponse(type, {
      type: ResponseType.of(type),
      statusCode: content.status?.toString(),
      responseHeaders,
      // The key is the content type of the answer.
      templates: { "application/problem+json": template(content) },
    });
  }
}

/** Reads the table. */
export function gatewayAnswers(path: string): readonly GatewayAnswer[] {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** API Gateway replaces variables in the template and evaluates nothing else. */
function template({ status, title, detail }: Answer): string {
  const members = [
    '"type":"about:blank"',
    ...(title ? [`"title":${JSON.stringify(title)}`] : []),
    ...(status ? [`"status":${status}`] : []),
    // This variable is already quoted, the others are not.
    `"detail":${detail ? JSON.stringify(detail) : "$context.error.messageString"}`,
    '"request_id":"$context.requestId"',
  ];
  return `{${members.join(",")}}`;
}
