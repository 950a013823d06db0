import { CustomResource, Duration, RemovalPolicy } from "aws-cdk-lib";
import { type IRole, PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { Architecture, Code } from "aws-cdk-lib/aws-lambda";
import { Provider } from "aws-cdk-lib/custom-resources";
import { Construct } from "constructs";
import { acknowledgeCheckov } from "./checkov.ts";
import type { ClusterReference } from "./cluster.ts";
import { Execution } from "./execution.ts";
import type { FunctionNetwork } from "./network.ts";
import { RustFunction } from "./rust-function.ts";

export interface BootstrapProps {
  readonly code: Code;
  readonly architecture: Architecture;
  readonly cluster: ClusterReference;
  readonly game: Grant;
  readonly sweeper: Grant;
  readonly network?: FunctionNetwork;
  readonly logKey?: IKey;
}

export interface Grant {
  /** The database role to create. */
  readonly databaseRole: string;
  /** The IAM role that may use the database role. */
  readonly grantee: IRole;
}

/**
 * Prepares the cluster in each deployment that changes the schema or a granted role. Dependent
 * resources wait until it succeeds. If it fails, CloudFormation rolls the deployment back.
 *
 * A custom resource instead of `aws-cdk-lib/triggers`: the function that invokes a trigger cannot
 * be configured. It has AWSLambdaBasicExecutionRole and a log group without retention.
 */
export class Bootstrap extends Construct {
  readonly execution: Execution;

  constructor(scope: Construct, id: string, props: BootstrapProps) {
    super(scope, id);
    const { cluster, game, sweeper, network, logKey } = props;

    this.execution = new Execution(this, "Execution", {
      statements: [
        new PolicyStatement({ actions: ["dsql:DbConnectAdmin"], resources: [cluster.arn] }),
      ],
      tracing: true,
      inVpc: network !== undefined,
      logKey,
    });
    const bootstrap = new RustFunction(this, "Function", {
      code: props.code,
      architecture: props.architecture,
      execution: this.execution,
      network,
      description: "Prepares the cluster for the Lambda, at each deployment",
      environment: {
        DSQL_ENDPOINT: cluster.endpoint,
        DSQL_USER: "admin",
        DSQL_APPLICATION_NAME: "bootstrap",
        GAME_ROLE: game.databaseRole,
        GAME_ROLE_ARN: game.grantee.roleArn,
        GAME_SWEEPER_ROLE: sweeper.databaseRole,
        GAME_SWEEPER_ROLE_ARN: sweeper.grantee.roleArn,
      },
      memorySize: 256,
      timeout: TIMEOUT,
      // No reserved concurrency: concurrent runs are safe, and small accounts have none to reserve.
    });

    const caller = new Execution(this, "Caller", {
      statements: [
        new PolicyStatement({
          // GetFunction: the caller polls until the function is active.
          actions: ["lambda:GetFunction", "lambda:InvokeFunction"],
          resources: [bootstrap.functionArn],
        }),
      ],
      tracing: false,
      logKey,
    });
    const provider = new Provider(this, "Provider", {
      onEventHandler: bootstrap,
      frameworkOnEventRole: caller.role,
      logGroup: caller.logGroup,
    });

    acknowledgeCheckov(provider.node.findChild("framework-onEvent"), {
      CKV_AWS_115: "CloudFormation calls it once per deployment.",
      CKV_AWS_116: "CloudFormation waits for its answer.",
      CKV_AWS_117: "It calls only Lambda, which is not in a VPC.",
      CKV_AWS_173: "Its variable is the name of a function.",
    });

    new CustomResource(this, "Run", {
      resourceType: "Custom::Bootstrap",
      serviceToken: provider.serviceToken,
      // By default CloudFormation waits an hour for a caller that crashed.
      serviceTimeout: TIMEOUT.plus(Duration.minutes(1)),
      properties: {
        // It runs again when one of these changes. The version changes with the program, which
        // contains the schema, and with the settings.
        version: bootstrap.currentVersion.version,
        endpoint: cluster.endpoint,
        grantee: game.grantee.roleArn,
        sweeper: sweeper.grantee.roleArn,
      },
      // Nothing to delete: the schema stays in the cluster. RETAIN keeps the function from running
      // when the stack is deleted, possibly after its cluster.
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }
}

/**
 * New permissions take more than a minute to become effective, and the cluster may have to wake up.
 * The rest is for indexes of large tables. The function that calls this one has 15 minutes.
 */
const TIMEOUT = Duration.minutes(13);
