// What the clients share: where the cluster is, and what a conflict is.
import { readFileSync } from "node:fs";

export const { PGHOST: host, PGPASSWORD: password } = process.env;
export const port = Number(process.env.PGPORT);
export const ssl = { ca: readFileSync(process.env.PGSSLROOTCERT), rejectUnauthorized: true };

export function expect(condition, what) {
  if (!condition) throw new Error(what);
}

// Runs something that has to fail with a conflict.
export async function conflictOf(run) {
  let told;
  try {
    await run();
  } catch (error) {
    told = error;
  }
  expect(told, "the second writer was told nothing");
  expect((told.code ?? told.cause?.code) === "40001", `told ${told} instead of a conflict`);
}
