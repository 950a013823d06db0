import asyncio

from aurora_dsql_tortoise import register_backends
from common import HOST, PORT, REGION, expect, tls
from tortoise import Tortoise, fields
from tortoise.models import Model


class Note(Model):
    id = fields.UUIDField(primary_key=True)
    note = fields.CharField(max_length=50)

    class Meta:
        table = "notes"


async def main():
    register_backends()
    credentials = {"host": HOST, "port": PORT, "user": "admin", "region": REGION, "ssl": tls()}
    await Tortoise.init(
        config={
            "connections": {
                "default": {"engine": "aurora_dsql_tortoise.asyncpg", "credentials": credentials}
            },
            "apps": {"models": {"models": ["__main__"], "default_connection": "default"}},
        }
    )
    await Tortoise.generate_schemas()
    await Note.create(note="first")
    expect((await Note.all())[0].note == "first", "no row came back")
    await Tortoise.close_connections()


asyncio.run(main())
