"""Django's settings of the peer on PostgreSQL, and the copy of the town into it.

``python orm_settings.py PEOPLE`` makes the tables and copies the first people, with their rooms and
messages, out of the database that the others use.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.conf import settings

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("BENCH_POSTGRES", ""),
        "NAME": "postgres",
        "USER": "bench",
        "CONN_MAX_AGE": None,
    }
}
_BATCH = 2000


def copy_town(people: int) -> None:
    """Make the tables and fill them."""
    settings.configure(
        DATABASES=DATABASES,
        INSTALLED_APPS=["town_orm"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.core.management import call_command
    from pymongo import MongoClient
    from town_orm.models import Message, Person, Room, SignIn

    call_command("migrate", run_syncdb=True, verbosity=0)
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["BENCH_MONGO"], tz_aware=True)
    source = client[os.environ["BENCH_DATABASE"]]
    users = list(source["users"].find().sort("_id").limit(people))
    known = {user["_id"] for user in users}
    rooms = [
        room
        for room in source["chat_rooms"].find().sort("_id").limit(people // 2)
        if known.issuperset(room["members"])
    ]
    chosen = {room["_id"] for room in rooms}
    Person.objects.bulk_create(
        [Person(user["_id"], user["role"], user["full_name"]) for user in users], _BATCH
    )
    SignIn.objects.bulk_create(
        [
            SignIn(id=each["_id"], person_id=each["user_id"])
            for each in source["sessions"].find()
            if each["user_id"] in known
        ],
        _BATCH,
    )
    Room.objects.bulk_create(
        [Room(room["_id"], *sorted(room["members"])) for room in rooms], _BATCH
    )
    fields = {field.attname for field in Message._meta.concrete_fields} - {"id"}
    Message.objects.bulk_create(
        [
            Message(id=row["_id"], **{name: row.get(name) for name in fields})
            for row in source[os.environ["BENCH_MESSAGES"]].find()
            if row["room_id"] in chosen
        ],
        _BATCH,
    )


if __name__ == "__main__":
    copy_town(int(sys.argv[1]))
