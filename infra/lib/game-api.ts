import { RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  AccessLogField,
  AccessLogFormat,
  type CfnRestApi,
  EndpointType,
  JsonSchemaType,
  JsonSchemaVersion,
  LambdaIntegration,
  LogGroupLogDestination,
  MethodLoggingLevel,
  type Model,
  RequestValidator,
  ResponseType,
  RestApi,
} from "aws-cdk-lib/aws-apigateway";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

export interface GameApiProps {
  readonly handler: IFunction;
  readonly stageName: string;
}

/** The routes of the Lambda, for callers with a key. No CORS: a key has no place in a browser. */
export class GameApi extends Construct {
  readonly api: RestApi;

  constructor(scope: Construct, id: string, { handler, stageName }: GameApiProps) {
    super(scope, id);

    this.api = new RestApi(this, "Api", {
      // Metrics go by it: two stages of one account must not share one.
      restApiName: `generate-game-${stageName}`,
      description: "Makes up games and keeps them",
      endpointTypes: [EndpointType.REGIONAL],
      // What is added later is closed, too.
      defaultMethodOptions: { apiKeyRequired: true },
      // The role that API Gateway logs with is a setting of the whole account: api-gateway-logs.yaml.
      cloudWatchRole: false,
      deployOptions: {
        stageName,
        tracingEnabled: true,
        accessLogDestination: new LogGroupLogDestination(this.accessLog()),
        accessLogFormat: ACCESS_LOG,
        // Execution logs hold headers and bodies, so also keys.
        loggingLevel: MethodLoggingLevel.OFF,
        dataTraceEnabled: false,
        // Above a key's own throttle: what all keys together may ask of the functions.
        throttlingRateLimit: 50,
        throttlingBurstLimit: 100,
      },
    });
    // The stack has an output of its own for it, with a name that others can rely on.
    this.api.node.tryRemoveChild("Endpoint");
    modernTls(this.api.node.defaultChild as CfnRestApi);
    this.answerInTheFormOfTheFunction();

    const integration = new LambdaIntegration(handler, {
      // The console's test button would be a caller without a key.
      allowTestInvoke: false,
    });
    const validated = {
      requestValidator: new RequestValidator(this, "Validator", {
        restApi: this.api,
        validateRequestBody: true,
        validateRequestParameters: true,
      }),
    };
    const games = this.api.root.addResource("games");
    games.addMethod("GET", integration, {
      ...validated,
      requestParameters: { "method.request.querystring.limit": false },
    });
    games.addMethod("POST", integration, {
      ...validated,
      requestParameters: { "method.request.header.Idempotency-Key": false },
      // Bodies of another content type pass by, and are refused by the function.
      requestModels: { "application/json": this.newGame() },
    });
    games.addResource("{id}").addMethod("GET", integration, {
      ...validated,
      requestParameters: { "method.request.path.id": true },
    });

    acknowledge(this);
  }

  private accessLog(): LogGroup {
    return new LogGroup(this, "AccessLog", {
      retention: RetentionDays.THREE_MONTHS,
      // Who asked for what has to be known also of an API that was taken down.
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  /** What `examples/generate-game/src/route.rs` takes, so that the rest costs no invocation. */
  private newGame(): Model {
    return this.api.addModel("NewGame", {
      contentType: "application/json",
      schema: {
        schema: JsonSchemaVersion.DRAFT4,
        type: JsonSchemaType.OBJECT,
        additionalProperties: false,
        properties: {
          title: {
            type: [JsonSchemaType.STRING, JsonSchemaType.NULL],
            minLength: 1,
            maxLength: 100,
          },
        },
      },
    });
  }

  private answerInTheFormOfTheFunction(): void {
    const templates = {
      "application/json":
        '{"error":$context.error.messageString,"request_id":"$context.requestId"}',
    };
    for (const type of [ResponseType.DEFAULT_4XX, ResponseType.DEFAULT_5XX]) {
      this.api.addGatewayResponse(type.responseType, { type, templates });
    }
  }
}

/**
 * By itself the endpoint takes TLS 1.0, and ciphers without forward secrecy.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies.html
 */
function modernTls(api: CfnRestApi): void {
  api.securityPolicy = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09";
  api.endpointAccessMode = "STRICT";
}

/** No headers, no query, no body: those may hold a key. The key's ID is not a secret. */
const ACCESS_LOG = AccessLogFormat.custom(
  JSON.stringify({
    time: AccessLogField.contextRequestTimeEpoch(),
    requestId: AccessLogField.contextRequestId(),
    method: AccessLogField.contextHttpMethod(),
    resource: AccessLogField.contextResourcePath(),
    status: AccessLogField.contextStatus(),
    error: AccessLogField.contextErrorResponseType(),
    latency: AccessLogField.contextResponseLatency(),
    bytes: AccessLogField.contextResponseLength(),
    apiKeyId: AccessLogField.contextIdentityApiKeyId(),
    sourceIp: AccessLogField.contextIdentitySourceIp(),
  }),
);

function acknowledge(scope: GameApi): void {
  Validations.of(scope).acknowledge(
    {
      id: "AwsSolutions-APIG3",
      reason:
        "No web ACL: nothing passes without a key, and the stage's throttle and the function's reserved concurrency limit the pace of all. A web ACL costs by the month; an API that is opened to strangers should get one.",
    },
    {
      id: "AwsSolutions-APIG4",
      reason:
        "Callers are programs of one owner, told apart by API keys. An API whose callers own data needs an authorizer.",
    },
    {
      id: "AwsSolutions-APIG6",
      reason:
        "Execution logs hold headers and bodies, so also keys. Access logs, X-Ray and the function's own log tell what happened.",
    },
    {
      id: "AwsSolutions-COG4",
      reason: "There are no users to sign in: callers are programs with an API key.",
    },
  );
}
