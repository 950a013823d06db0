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
  /** The database role to make. */
  readonly databaseRole: string;
  /** Who may take it on. */
  readonly grantee: IRole;
  readonly network?: FunctionNetwork;
  readonly logKey?: IKey;
}

/**
 * Prepares the cluster in each deployment that changes the schema or who is let in. What depends on
 * it waits for its success; its failure is the deployment's, which is rolled back.
 *
 * A custom resource, not `aws-cdk-lib/triggers`: the function that invokes a trigger is out of reach
 * there, and has AWSLambdaBasicExecutionRole, and a log group that is kept for ever.
 */
export class Bootstrap extends Construct {
  readonly execution: Execution;

  constructor(scope: Construct, id: string, props: BootstrapProps) {
    super(scope, id);
    const { cluster, grantee, network, logKey } = props;

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
        GAME_ROLE: props.databaseRole,
        GAME_ROLE_ARN: grantee.roleArn,
      },
      memorySize: 256,
      timeout: TIMEOUT,
      // No concurrency is reserved: two runs that race do no harm, and small accounts have none to give.
    });

    const caller = new Execution(this, "Caller", {
      statements: [
        new PolicyStatement({
          // It asks for the function to wait until it is active.
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
      CKV_AWS_115: "CloudFormation calls it once in a deployment.",
      CKV_AWS_116: "CloudFormation waits for its answer.",
      CKV_AWS_117: "It calls Lambda, and nothing in a VPC.",
      CKV_AWS_173: "Its variable is the name of a function.",
    });

    new CustomResource(this, "Run", {
      resourceType: "Custom::Bootstrap",
      serviceToken: provider.serviceToken,
      // CloudFormation would wait an hour for a caller that died.
      serviceTimeout: TIMEOUT.plus(Duration.minutes(1)),
      properties: {
        // Any change of these is what makes it run again. The version changes with the program, which
        // holds the schema, and with the settings.
        version: bootstrap.currentVersion.version,
        endpoint: cluster.endpoint,
        grantee: grantee.roleArn,
      },
      // There is nothing to delete: the schema stays with the cluster. So the function is not run
      // when the stack goes, when its cluster may be gone already.
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }
}

/**
 * New permissions take more than a minute to be effective, and a cluster wakes up; the rest is for indexes
 * of tables that have grown. The framework that calls the function has 15 minutes itself.
 */
const TIMEOUT = Duration.minutes(13);
