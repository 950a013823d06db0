import { eq, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { pgTable, text, uuid } from "drizzle-orm/pg-core";
import pg from "pg";
import { expect, host, password, port, ssl } from "./common.mjs";

const pool = new pg.Pool({ host, port, user: "admin", password, database: "postgres", ssl });
const db = drizzle({ client: pool });
const notes = pgTable("notes", { id: uuid().primaryKey().defaultRandom(), note: text().notNull() });
await db.execute(
  sql`CREATE TABLE notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note text NOT NULL)`,
);
await db.transaction((tx) => tx.insert(notes).values({ note: "first" }));
const rows = await db.select().from(notes).where(eq(notes.note, "first"));
expect(rows.length === 1, "no row came back");
await pool.end();
