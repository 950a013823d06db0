import postgres from "postgres";
import { conflictOf, expect, host, password, port, ssl } from "./common.mjs";

const sql = postgres({ host, port, user: "admin", password, database: "postgres", ssl, max: 2 });
await sql`CREATE TABLE notes (id int PRIMARY KEY, note text)`;
await sql`INSERT INTO notes ${sql([{ id: 1, note: "first" }])}`;
const [row] = await sql`SELECT note FROM notes WHERE id = ANY(${[1, 2]}::int[])`;
expect(row.note === "first", "no row came back");
await conflictOf(() =>
  sql.begin(async (one) => {
    await one`UPDATE notes SET note = 'one'`;
    let conflict;
    await sql
      .begin(async (two) => {
        await two`UPDATE notes SET note = 'two'`;
      })
      .catch((error) => {
        conflict = error;
      });
    // Either writer may get the conflict.
    if (conflict) throw conflict;
  }),
);
await sql.end();
