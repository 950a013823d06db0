import asyncio

import asyncpg
from common import CONFLICT, HOST, PORT, TOKEN, expect, tls


async def connect():
    return await asyncpg.connect(
        host=HOST, port=PORT, user="admin", password=TOKEN, database="postgres", ssl=tls()
    )


async def main():
    one, two = await connect(), await connect()
    await one.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
    await one.executemany("INSERT INTO notes VALUES ($1, $2)", [(1, "first"), (2, "second")])
    # asyncpg reads the array type after set_config('jit', 'off', false).
    rows = await one.fetch("SELECT note FROM notes WHERE id = ANY($1::int[]) ORDER BY id", [1, 2])
    expect([row["note"] for row in rows] == ["first", "second"], rows)
    await two.fetch("SELECT 1 FROM notes")
    first, second = one.transaction(), two.transaction()
    await first.start()
    await second.start()
    await two.fetch("SELECT 1")
    await one.execute("UPDATE notes SET note = 'one' WHERE id = 1")
    try:
        try:
            await two.execute("UPDATE notes SET note = 'two' WHERE id = 1")
        finally:
            await first.commit()
        await second.commit()
    except asyncpg.PostgresError as error:
        expect(error.sqlstate == CONFLICT, f"got {error!r} instead of a conflict")
    else:
        raise SystemExit("Error: the second writer got no error")


asyncio.run(main())
