// Like AWS's article: `synchronize`, one entity, save.
import "reflect-metadata";
import { DataSource, EntitySchema } from "typeorm";
import { expect, host, password, port, ssl } from "./common.mjs";

const Note = new EntitySchema({
  name: "notes",
  columns: {
    id: { type: "uuid", primary: true, generated: "uuid" },
    note: { type: "varchar", length: 50 },
  },
});
const source = new DataSource({
  type: "postgres",
  host,
  port,
  username: "admin",
  password,
  database: "postgres",
  ssl,
  synchronize: true,
  installExtensions: false,
  uuidExtension: "pgcrypto",
  entities: [Note],
});
await source.initialize();
const notes = source.getRepository("notes");
await notes.save({ note: "first" });
expect((await notes.find())[0].note === "first", "no row came back");
await source.destroy();
