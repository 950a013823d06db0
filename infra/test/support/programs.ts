import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const AARCH64 = 183;
export const X86_64 = 62;

export interface Programs {
  readonly machine?: number;
  /** Different texts make different builds. */
  readonly bootstrap?: string;
  readonly game?: string;
}

/** Returns a folder like `target/functions`, with programs that consist of an ELF header. */
export function programs({ machine = AARCH64, bootstrap = "", game = "" }: Programs = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "programs-"));
  for (const [name, build] of [
    ["generate-game", game],
    ["bootstrap", bootstrap],
    ["sweep", ""],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "bootstrap"), program(machine, build), { mode: 0o755 });
  }
  return folder;
}

function program(machine: number, build: string): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(build)]);
}
