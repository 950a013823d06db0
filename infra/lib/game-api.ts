import { RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  AccessLogField,
  AccessLogFormat,
  AuthorizationType,
  type CfnRestApi,
  CognitoUserPoolsAuthorizer,
  EndpointType,
  type JsonSchema,
  JsonSchemaVersion,
  LambdaIntegration,
  LogGroupLogDestination,
  MethodLoggingLevel,
  type MethodOptions,
  type Model,
  RequestValidator,
  RestApi,
} from "aws-cdk-lib/aws-apigateway";
import { UserPool } from "aws-cdk-lib/aws-cognito";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledgeCheckov, SERVICE_KEY } from "./checkov.ts";
import { addGatewayResponses, gatewayAnswers } from "./gateway-responses.ts";
import { OpenApi } from "./openapi.ts";

/** Who may call, beside the API key, which then only meters. */
export type Authorizer = "iam" | { readonly userPoolArn: string };

export interface GameApiProps {
  readonly handler: IFunction;
  readonly stageName: string;
  /** The API key alone unless given. */
  readonly authorizer?: Authorizer;
  /** Variables of the stage, which the function finds in its events. */
  readonly variables?: Record<string, string>;
  /** CloudWatch's own key unless given. */
  readonly logKey?: IKey;
  /** Whether a web ACL stands before the stage. */
  readonly webAcl?: boolean;
}

/** The routes of the Lambda, for callers with a key. No CORS: a key has no place in a browser. */
export class GameApi extends Construct {
  readonly api: RestApi;

  constructor(scope: Construct, id: string, props: GameApiProps) {
    super(scope, id);
    const { handler, stageName, authorizer, logKey } = props;

    this.api = new RestApi(this, "Api", {
      // Metrics go by it: two stages of one account must not share one.
      restApiName: `generate-game-${stageName}`,
      description: "Makes up games and keeps them",
      endpointTypes: [EndpointType.REGIONAL],
      // What is added later is closed, too.
      defaultMethodOptions: { apiKeyRequired: true, ...authorization(this, authorizer) },
      // The role that API Gateway logs with is a setting of the whole account: api-gateway-logs.yaml.
      cloudWatchRole: false,
      deployOptions: {
        stageName,
        variables: props.variables,
        tracingEnabled: true,
        accessLogDestination: new LogGroupLogDestination(this.accessLog(logKey)),
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
    addGatewayResponses(this.api, gatewayAnswers(file("gateway-responses.json")), {
      signed: authorizer === "iam",
    });
    this.addOperations(handler, new OpenApi(file("openapi.json")), authorizer !== undefined);

    acknowledge(this, props);
    acknowledgeCheckov(this.api.deploymentStage, {
      CKV_AWS_120: "Games change, and ETags say whether they did. A cache costs by the hour.",
    });
  }

  /**
   * Adds the operations of the document. Other methods on their paths also reach the function, which
   * answers 405.
   */
  private addOperations(handler: IFunction, document: OpenApi, hasAuthorizer: boolean): void {
    const integration = new LambdaIntegration(handler, {
      // The console's test button would be a caller without a key.
      allowTestInvoke: false,
    });
    const requestValidator = new RequestValidator(this, "Validator", {
      restApi: this.api,
      validateRequestBody: true,
      validateRequestParameters: true,
    });
    for (const { method, path, parameters, body } of document.operations) {
      const model = body === undefined ? undefined : this.model(body, document);
      this.api.root.resourceForPath(path).addMethod(method, integration, {
        requestValidator,
        requestParameters: Object.fromEntries(
          Object.entries(parameters).map(([name, required]) => [
            `method.request.${name}`,
            required,
          ]),
        ),
        // Also for other content types, which the function refuses with 415: without `$default` a
        // body would pass the model under another name.
        requestModels: model && { "application/json": model, $default: model },
      });
    }
    for (const path of new Set(document.operations.map(({ path }) => path))) {
      this.api.root.resourceForPath(path).addMethod("ANY", integration, { requestValidator });
    }
    if (hasAuthorizer) {
      // With an `Authorization` header API Gateway answers 403 on unknown paths, and a request without
      // a signature gets the same response type as an unknown path. So the function answers 404.
      // https://repost.aws/questions/QU4P9tucybRzG52U5OhwaT0A
      this.api.root.addMethod("ANY", integration, { requestValidator });
      this.api.root.addResource("{proxy+}").addMethod("ANY", integration, { requestValidator });
    }
  }

  private model(name: string, document: OpenApi): Model {
    const schema = document.schema(name) as JsonSchema;
    return this.api.addModel(name, {
      contentType: "application/json",
      schema: { schema: JsonSchemaVersion.DRAFT4, ...schema },
    });
  }

  private accessLog(encryptionKey: IKey | undefined): LogGroup {
    const log = new LogGroup(this, "AccessLog", {
      retention: RetentionDays.THREE_MONTHS,
      encryptionKey,
      // Who asked for what has to be known also of an API that was taken down.
      removalPolicy: RemovalPolicy.RETAIN,
    });
    acknowledgeCheckov(log, encryptionKey ? {} : { CKV_AWS_158: SERVICE_KEY });
    return log;
  }
}

/** Returns what every method wants beside the key. */
function authorization(scope: Construct, authorizer: Authorizer | undefined): MethodOptions {
  if (authorizer === undefined) {
    return {};
  }
  if (authorizer === "iam") {
    return { authorizationType: AuthorizationType.IAM };
  }
  const userPool = UserPool.fromUserPoolArn(scope, "UserPool", authorizer.userPoolArn);
  return {
    authorizationType: AuthorizationType.COGNITO,
    authorizer: new CognitoUserPoolsAuthorizer(scope, "Authorizer", {
      cognitoUserPools: [userPool],
    }),
  };
}

function file(name: string): string {
  return new URL(`../../examples/generate-game/${name}`, import.meta.url).pathname;
}

/**
 * By itself the endpoint takes TLS 1.0, and ciphers without forward secrecy.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies.html
 */
function modernTls(api: CfnRestApi): void {
  api.securityPolicy = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09";
  api.endpointAccessMode = "STRICT";
}

/**
 * No headers, no query, no body: those may hold a key. The key's ID is not a secret. `requestId` is
 * the one in the answer and in the function's log; the function's own and the trace's lead to X-Ray.
 */
const ACCESS_LOG = AccessLogFormat.custom(
  JSON.stringify({
    time: AccessLogField.contextRequestTimeEpoch(),
    requestId: AccessLogField.contextRequestId(),
    functionRequestId: "$context.integration.requestId",
    trace: AccessLogField.contextXrayTraceId(),
    method: AccessLogField.contextHttpMethod(),
    resource: AccessLogField.contextResourcePath(),
    status: AccessLogField.contextStatus(),
    functionStatus: AccessLogField.contextIntegrationStatus(),
    error: AccessLogField.contextErrorResponseType(),
    latency: AccessLogField.contextResponseLatency(),
    functionLatency: AccessLogField.contextIntegrationLatency(),
    bytes: AccessLogField.contextResponseLength(),
    apiKeyId: AccessLogField.contextIdentityApiKeyId(),
    sourceIp: AccessLogField.contextIdentitySourceIp(),
  }),
);

function acknowledge(scope: GameApi, { authorizer, webAcl }: GameApiProps): void {
  Validations.of(scope).acknowledge({
    id: "AwsSolutions-APIG6",
    reason:
      "Execution logs hold headers and bodies, so also keys. Access logs, X-Ray and the function's own log tell what happened.",
  });
  if (!webAcl) {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-APIG3",
      reason:
        "GAME_WEB_ACL=on adds one, which costs by the month. Without it nothing passes without a key, and the stage's throttle and the function's reserved concurrency limit the pace of all.",
    });
  }
  if (authorizer === undefined) {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-APIG4",
      reason:
        "GAME_AUTHORIZER adds one. Without it callers are programs of one owner, told apart by API keys, and every caller may read every game.",
    });
  }
  if (authorizer === undefined || authorizer === "iam") {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-COG4",
      reason: "There are no users to sign in: callers are programs with an API key or an IAM role.",
    });
  }
}
