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

/** Authenticates callers. The API key then only meters. */
export type Authorizer = "iam" | { readonly userPoolArn: string };

export interface GameApiProps {
  readonly handler: IFunction;
  readonly stageName: string;
  /** Defaults to the API key alone. */
  readonly authorizer?: Authorizer;
  /** Variables of the stage. The function gets them in its events. */
  readonly variables?: Record<string, string>;
  /** Defaults to the key of CloudWatch. */
  readonly logKey?: IKey;
  /** Whether the stage has a web ACL. */
  readonly webAcl?: boolean;
}

/** The REST API before the Lambda. No CORS: a browser would expose the key. */
export class GameApi extends Construct {
  readonly api: RestApi;

  constructor(scope: Construct, id: string, props: GameApiProps) {
    super(scope, id);
    const { handler, stageName, authorizer, logKey } = props;

    this.api = new RestApi(this, "Api", {
      // The dimension of the metrics, so two stages of one account need different names.
      restApiName: `generate-game-${stageName}`,
      description: "Makes up games and keeps them",
      endpointTypes: [EndpointType.REGIONAL],
      // Methods that are added later also require a key.
      defaultMethodOptions: { apiKeyRequired: true, ...authorization(this, authorizer) },
      // API Gateway's role for logs is a setting of the account: api-gateway-logs.yaml.
      cloudWatchRole: false,
      deployOptions: {
        stageName,
        variables: props.variables,
        tracingEnabled: true,
        accessLogDestination: new LogGroupLogDestination(this.accessLog(logKey)),
        accessLogFormat: ACCESS_LOG,
        // Execution logs contain headers and bodies, so also keys.
        loggingLevel: MethodLoggingLevel.OFF,
        dataTraceEnabled: false,
        // For all keys together, above the throttle of one key.
        throttlingRateLimit: 50,
        throttlingBurstLimit: 100,
      },
    });
    // The stack has its own output for the URL, with a stable name.
    this.api.node.tryRemoveChild("Endpoint");
    modernTls(this.api.node.defaultChild as CfnRestApi);
    addGatewayResponses(this.api, gatewayAnswers(file("gateway-responses.json")), {
      signed: authorizer === "iam",
    });
    this.addOperations(handler, new OpenApi(file("openapi.json")), authorizer !== undefined);

    acknowledge(this, props);
    acknowledgeCheckov(this.api.deploymentStage, {
      CKV_AWS_120:
        "Games change, and clients revalidate with ETags. A cache is billed by the hour.",
    });
  }

  /**
   * Adds the operations of the document. Other methods on their paths also reach the function,
   * which answers 405.
   */
  private addOperations(handler: IFunction, document: OpenApi, hasAuthorizer: boolean): void {
    const integration = new LambdaIntegration(handler, {
      // The console's test button would call without a key.
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
        // `$default`: without it a body of another content type would skip the model. The function
        // answers 415 to other content types.
        requestModels: model && { "application/json": model, $default: model },
      });
    }
    for (const path of new Set(document.operations.map(({ path }) => path))) {
      this.api.root.resourceForPath(path).addMethod("ANY", integration, { requestValidator });
    }
    if (hasAuthorizer) {
      // With an `Authorization` header API Gateway answers 403 on unknown paths, and a request
      // without a signature gets the same response type as an unknown path. So the function answers
      // 404.
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
      // An audit may need the log of a deleted API.
      removalPolicy: RemovalPolicy.RETAIN,
    });
    acknowledgeCheckov(log, encryptionKey ? {} : { CKV_AWS_158: SERVICE_KEY });
    return log;
  }
}

/** Returns the settings that every method has in addition to the key. */
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
 * By default the endpoint accepts TLS 1.0, and ciphers without forward secrecy.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies.html
 */
function modernTls(api: CfnRestApi): void {
  api.securityPolicy = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09";
  api.endpointAccessMode = "STRICT";
}

/**
 * No headers, query or body: they may contain a key. The ID of the key is not secret. `requestId`
 * is also in the answer and in the function's log. The other two IDs find Lambda's own lines and
 * X-Ray.
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
      "Execution logs contain headers and bodies, so also keys. Access logs, X-Ray and the function's log replace them.",
  });
  if (!webAcl) {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-APIG3",
      reason:
        "GAME_WEB_ACL=on adds one, for a monthly price. Without it every request needs a key, and the stage's throttle and the function's reserved concurrency limit the rate.",
    });
  }
  if (authorizer === undefined) {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-APIG4",
      reason:
        "GAME_AUTHORIZER adds one. Without it all callers are programs of one owner, and every caller may read every game.",
    });
  }
  if (authorizer === undefined || authorizer === "iam") {
    Validations.of(scope).acknowledge({
      id: "AwsSolutions-COG4",
      reason: "No users sign in: callers are programs with an API key or an IAM role.",
    });
  }
}
