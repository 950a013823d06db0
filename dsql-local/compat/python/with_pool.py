"""AWS's pool with ten idle sessions, a definition of another session, and AWS's retry with three attempts."""

import asyncio

import asyncpg
import aurora_dsql_asyncpg as dsql
from common import HOST, PORT, REGION, TOKEN, tls


async def main():
    pool = await dsql.create_pool(
        None, host=HOST, port=PORT, user="admin", region=REGION, ssl=tls(), min_size=10, max_size=10, retry=True
    )
    elsewhere = await asyncpg.connect(
        host=HOST, port=PORT, user="admin", password=TOKEN, database="postgres", ssl=tls()
    )
    await elsewhere.execute("CREATE TABLE notes (id int PRIMARY KEY)")
    await asyncio.gather(*(warm(pool) for _ in range(10)))
    await elsewhere.execute("CREATE TABLE others (id int PRIMARY KEY)")
    for number in range(20):
        await pool.run_transaction(
            lambda connection, number=number: connection.execute("INSERT INTO notes VALUES ($1)", number)
        )
    await pool.close()
    await elsewhere.close()


async def warm(pool):
    async with pool.acquire() as connection:
        for _ in range(3):
            try:
                await connection.fetch("SELECT count(*), pg_sleep(0.1) FROM notes")
                return
            except asyncpg.SerializationError:
                continue


asyncio.run(main())
