import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Architecture, Code } from "aws-cdk-lib/aws-lambda";

/**
 * Returns a built Rust program as a Lambda's code.
 *
 * The program is built before the synthesis. This checks for mistakes that Lambda reports only when
 * it starts the program.
 */
export function rustAsset(folder: string, architecture: Architecture): Code {
  const program = join(folder, "bootstrap");
  const build = `build it with \`cargo lambda build --profile lambda ${flag(architecture)} --lambda-dir target/functions --package generate-game --bins\``;

  const status = statSync(program, { throwIfNoEntry: false });
  if (!status?.isFile()) {
    throw new Error(`${program} is missing: ${build}, or name its folder in GAME_ASSETS`);
  }
  const machine = elfMachine(readFileSync(program));
  if (machine !== MACHINES.get(architecture)) {
    const found = [...MACHINES].find(([, number]) => number === machine)?.[0].name;
    throw new Error(
      `${program} is ${found ? `for ${found}` : "no Linux program for Lambda"}, but the function is ${architecture.name}: ${build}, or set GAME_ARCHITECTURE`,
    );
  }
  // Artifacts of a workflow lose the executable bit.
  if ((status.mode & 0o111) === 0) {
    throw new Error(`${program} is not executable, so Lambda could not start it: chmod +x it`);
  }
  return Code.fromAsset(folder);
}

/**
 * Returns `e_machine` of a 64-bit little-endian ELF file:
 * https://man7.org/linux/man-pages/man5/elf.5.html
 */
function elfMachine(file: Buffer): number | undefined {
  const isElf = file.length >= 20 && file.subarray(0, 6).equals(ELF64_LITTLE_ENDIAN);
  return isElf ? file.readUInt16LE(18) : undefined;
}

function flag(architecture: Architecture): string {
  return architecture === Architecture.ARM_64 ? "--arm64" : "--x86-64";
}

const ELF64_LITTLE_ENDIAN = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

const MACHINES = new Map([
  [Architecture.ARM_64, 183],
  [Architecture.X86_64, 62],
]);
