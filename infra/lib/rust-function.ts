import type { Duration } from "aws-cdk-lib";
import {
  ApplicationLogLevel,
  type Architecture,
  type CfnFunction,
  type Code,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
  type VersionOptions,
} from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";
import { acknowledgeCheckov } from "./checkov.ts";
import type { Execution } from "./execution.ts";
import type { FunctionNetwork } from "./network.ts";

export interface RustFunctionProps {
  readonly code: Code;
  readonly architecture: Architecture;
  readonly execution: Execution;
  readonly description: string;
  readonly environment: Record<string, string>;
  readonly memorySize: number;
  readonly timeout: Duration;
  readonly reservedConcurrentExecutions?: number;
  readonly currentVersionOptions?: VersionOptions;
  /** Defaults to no VPC. */
  readonly network?: FunctionNetwork;
}

/** A function with its own runtime that logs one JSON object per line. */
export class RustFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, { execution, network, ...props }: RustFunctionProps) {
    super(scope, id, {
      ...props,
      runtime: Runtime.PROVIDED_AL2023,
      // Lambda ignores this and starts the file `bootstrap`.
      handler: "bootstrap",
      role: execution.role,
      logGroup: execution.logGroup,
      loggingFormat: LoggingFormat.JSON,
      // The program reads it as AWS_LAMBDA_LOG_LEVEL.
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: SystemLogLevel.INFO,
      tracing: Tracing.ACTIVE,
    });
    acknowledgeCheckov(this, {
      CKV_AWS_116: "Callers wait for the answer, or the next run of a schedule does the same work.",
      CKV_AWS_173: "Its variables are not secret. The password is a token that the role signs.",
      ...(network
        ? {}
        : {
            CKV_AWS_117: "GAME_VPC_ID puts it into a VPC. By default it uses the public endpoint.",
          }),
      ...(props.reservedConcurrentExecutions === undefined
        ? {
            CKV_AWS_115:
              "GAME_RESERVED_CONCURRENCY is none, or it runs once per deployment or once a day.",
          }
        : {}),
    });
    if (network) {
      (this.node.defaultChild as CfnFunction).vpcConfig = {
        subnetIds: [...network.subnetIds],
        securityGroupIds: [network.securityGroupId],
      };
    }
  }
}
