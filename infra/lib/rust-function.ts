import type { Duration } from "aws-cdk-lib";
import {
  ApplicationLogLevel,
  type Architecture,
  type Code,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";
import type { Execution } from "./execution.ts";

export interface RustFunctionProps {
  readonly code: Code;
  readonly architecture: Architecture;
  readonly execution: Execution;
  readonly description: string;
  readonly environment: Record<string, string>;
  readonly memorySize: number;
  readonly timeout: Duration;
  readonly reservedConcurrentExecutions?: number;
}

/** A program that brings its own runtime, and logs a JSON object a line. */
export class RustFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, { execution, ...props }: RustFunctionProps) {
    super(scope, id, {
      ...props,
      runtime: Runtime.PROVIDED_AL2023,
      // Lambda starts the file `bootstrap`, whatever is written here.
      handler: "bootstrap",
      role: execution.role,
      logGroup: execution.logGroup,
      loggingFormat: LoggingFormat.JSON,
      // The program reads it as AWS_LAMBDA_LOG_LEVEL.
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: SystemLogLevel.INFO,
      tracing: Tracing.ACTIVE,
    });
  }
}
