import { readFileSync } from "node:fs";
import { ResponseType, type RestApi } from "aws-cdk-lib/aws-apigateway";

/** A line of the table of the gateway's own answers, which the demo's gateway reads as well. */
export interface GatewayAnswer {
  readonly type: string;
  /** The gateway's own unless given. */
  readonly status?: number;
  readonly title?: string;
  /** The gateway's own message unless given. */
  readonly detail?: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

/**
 * Makes the gateway answer as the function does: with a problem document.
 *
 * @param signed Whether callers sign their requests. Then a request without a signature gets the
 *   answer of an unknown path, MISSING_AUTHENTICATION_TOKEN, which must not be 404.
 */
export function answerInTheFormOfTheFunction(
  api: RestApi,
  answers: readonly GatewayAnswer[],
  signed: boolean,
): void {
  for (const answer of answers) {
    const { type } = answer;
    const given =
      signed && type === "MISSING_AUTHENTICATION_TOKEN" ? { type, ...UNSIGNED } : answer;
    const { status, retryAfter } = given;
    const responseHeaders: Record<string, string> = { "Cache-Control": "'no-store'" };
    if (retryAfter !== undefined) {
      responseHeaders["Retry-After"] = `'${retryAfter}'`;
    }
    api.addGatewayResponse(type, {
      type: ResponseType.of(type),
      statusCode: status?.toString(),
      responseHeaders,
      // The key is the answer's content type.
      templates: { "application/problem+json": template(given) },
    });
  }
}

/** Reads the table. */
export function gatewayAnswers(path: string): readonly GatewayAnswer[] {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** API Gateway replaces its variables, and nothing else. */
function template({ status, title, detail }: GatewayAnswer): string {
  const members = [
    '"type":"about:blank"',
    ...(title ? [`"title":${JSON.stringify(title)}`] : []),
    ...(status ? [`"status":${status}`] : []),
    // The message comes with its quotes, other variables without.
    `"detail":${detail ? JSON.stringify(detail) : "$context.error.messageString"}`,
    '"request_id":"$context.requestId"',
  ];
  return `{${members.join(",")}}`;
}

const UNSIGNED = {
  status: 403,
  title: "Forbidden",
  detail: "the request is not signed, or there is nothing at this path",
};
