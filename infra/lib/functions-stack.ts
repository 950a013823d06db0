import { CfnOutput, type Duration, Stack, type StackProps } from "aws-cdk-lib";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Architecture, Code } from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";
import { Bootstrap } from "./bootstrap.ts";
import type { ClusterReference } from "./cluster.ts";
import { Execution } from "./execution.ts";
import { GameFunction } from "./game-function.ts";
import type { FunctionNetwork } from "./network.ts";
import { Sweep } from "./sweep.ts";

export interface FunctionsStackProps extends StackProps {
  readonly cluster: ClusterReference;
  /** The cluster of the other Region. Defaults to none. */
  readonly peer?: ClusterReference;
  /** Defaults to no VPC. */
  readonly network?: FunctionNetwork;
  /** Encrypts the logs. Defaults to the key of CloudWatch. */
  readonly kmsKeyArn?: string;
  /** Built programs. */
  readonly code: { readonly game: Code; readonly bootstrap: Code; readonly sweep: Code };
  readonly architecture: Architecture;
  /** See {@link GameFunctionProps}. */
  readonly memorySize?: number;
  /** See {@link GameFunctionProps}. */
  readonly timeout?: Duration;
  /** See {@link GameFunctionProps}. */
  readonly reservedConcurrency?: number | "none";
}

/** The Lambda, the bootstrap that grants it access before, and the sweep of its outcomes. */
export class FunctionsStack extends Stack {
  readonly game: GameFunction;
  readonly sweep: Sweep;

  constructor(scope: Construct, id: string, props: FunctionsStackProps) {
    super(scope, id, props);
    const { cluster, peer, code, architecture, memorySize, timeout, reservedConcurrency, network } =
      props;
    const logKey = props.kmsKeyArn ? Key.fromKeyArn(this, "LogKey", props.kmsKeyArn) : undefined;

    // Separate constructs: the bootstrap needs the roles before the functions exist.
    const execution = new Execution(this, "GameExecution", {
      statements: [
        new PolicyStatement({
          actions: ["dsql:DbConnect"],
          resources: peer ? [cluster.arn, peer.arn] : [cluster.arn],
        }),
      ],
      tracing: true,
      inVpc: network !== undefined,
      logKey,
    });
    const sweeping = new Execution(this, "SweepExecution", {
      statements: [new PolicyStatement({ actions: ["dsql:DbConnect"], resources: [cluster.arn] })],
      tracing: true,
      inVpc: network !== undefined,
      logKey,
    });
    const bootstrap = new Bootstrap(this, "Bootstrap", {
      code: code.bootstrap,
      architecture,
      cluster,
      game: { databaseRole: DATABASE_ROLE, grantee: execution.role },
      sweeper: { databaseRole: SWEEPER_ROLE, grantee: sweeping.role },
      network,
      logKey,
    });
    this.game = new GameFunction(this, "Game", {
      code: code.game,
      architecture,
      cluster,
      peer,
      execution,
      network,
      databaseRole: DATABASE_ROLE,
      memorySize,
      timeout,
      reservedConcurrency,
    });
    this.game.function.node.addDependency(bootstrap);
    this.sweep = new Sweep(this, "Sweep", {
      code: code.sweep,
      architecture,
      cluster,
      execution: sweeping,
      network,
      databaseRole: SWEEPER_ROLE,
    });
    this.sweep.function.node.addDependency(bootstrap);

    new CfnOutput(this, "GameFunctionName", { value: this.game.function.functionName });
    new CfnOutput(this, "GameFunctionVersion", { value: this.game.version.version });
    new CfnOutput(this, "GameLogGroupName", { value: execution.logGroup.logGroupName });
    new CfnOutput(this, "BootstrapLogGroupName", {
      value: bootstrap.execution.logGroup.logGroupName,
    });
    new CfnOutput(this, "SweepFunctionName", { value: this.sweep.function.functionName });
    new CfnOutput(this, "SweepLogGroupName", { value: sweeping.logGroup.logGroupName });
  }
}

const DATABASE_ROLE = "game";

/** May only read and delete outcomes. */
const SWEEPER_ROLE = "game_sweeper";
