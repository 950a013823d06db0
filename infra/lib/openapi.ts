import { readFileSync } from "node:fs";

/** An operation of the API's document. */
export interface Operation {
  readonly method: string;
  readonly path: string;
  /** As API Gateway names them: `querystring.limit`, and whether it is required. */
  readonly parameters: Readonly<Record<string, boolean>>;
  /** The name of the body's schema. */
  readonly body: string | undefined;
}

/**
 * The API's description, for clients, for the models of the gateway, and for tests of the function.
 */
export class OpenApi {
  private readonly document: Document;

  constructor(path: string) {
    this.document = JSON.parse(readFileSync(path, "utf8"));
  }

  get operations(): readonly Operation[] {
    return Object.entries(this.document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        parameters: Object.fromEntries(
          operation.parameters.map((reference) => this.parameter(reference)),
        ),
        body: operation.requestBody?.content["application/json"]?.schema.$ref.split("/").at(-1),
      })),
    );
  }

  /**
   * Returns a schema for the gateway, which reads JSON Schema draft 4.
   *
   * Removes the patterns: AWS does not document the gateway's dialect of regular expressions, and
   * it might refuse valid titles. The function checks titles anyway.
   */
  schema(name: string): unknown {
    const { [name]: schema } = this.document.components.schemas;
    if (!schema) {
      throw new Error(`the document has no schema ${name}`);
    }
    return withoutPatterns(schema);
  }

  private parameter({ $ref }: Reference): [string, boolean] {
    const { [$ref.split("/").at(-1) ?? ""]: parameter } = this.document.components.parameters;
    if (!parameter) {
      throw new Error(`the document has no parameter ${$ref}`);
    }
    const place = parameter.in === "query" ? "querystring" : parameter.in;
    // The function's answer to a missing header is better: 428, and what to send.
    return [`${place}.${parameter.name}`, parameter.required && place === "path"];
  }
}

function withoutPatterns(part: unknown): unknown {
  if (Array.isArray(part)) {
    return part.map(withoutPatterns);
  }
  if (typeof part !== "object" || part === null) {
    return part;
  }
  const kept = Object.entries(part).filter(
    ([key, value]) => !(key === "pattern" && typeof value === "string") && key !== "description",
  );
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutPatterns(value)]));
}

interface Reference {
  readonly $ref: string;
}

interface Document {
  readonly paths: Record<
    string,
    Record<
      string,
      {
        readonly parameters: readonly Reference[];
        readonly requestBody?: { readonly content: Record<string, { schema: Reference }> };
      }
    >
  >;
  readonly components: {
    readonly schemas: Record<string, unknown>;
    readonly parameters: Record<string, { name: string; in: string; required: boolean }>;
  };
}
