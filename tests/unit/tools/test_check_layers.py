from pathlib import Path

import pytest

from tools.check_layers import faults

SOUND = {
    "server/__init__.py": "",
    "server/domain/__init__.py": "",
    "server/domain/money.py": "from decimal import Decimal\n",
    "server/domain/booking.py": "from . import money\nfrom .money import Decimal\n",
    "server/services/bookings.py": "from kundali import chart\nfrom server.domain import booking\n",
    "server/store/client.py": "import pymongo\nfrom server.domain.booking import money\n",
    "server/handlers/bookings.py": "import tornado.web\nfrom server.services import bookings\n",
    "server/settings.py": "import tomllib\n",
    "server/recommender/loader.py": "import recsys.artifact\n",
    "server/app.py": (
        "from server.handlers import bookings\n"
        "def build():\n    import uvloop\n    from server.store import client\n"
    ),
    "server/__main__.py": "from server import app\n",
    "kundali/chart.py": "import math\n",
    "recsys/artifact.py": "import json\nimport pymongo\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


def test_a_sound_tree_has_no_fault(tmp_path: Path) -> None:
    assert faults(tree(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("server/domain/pandit.py", "import tornado\n", "1: domain must not import tornado"),
        ("server/domain/pandit.py", "\nimport msgspec\n", "2: domain must not import msgspec"),
        ("server/domain/pandit.py", "from bson import x\n", "1: domain must not import bson"),
        (
            "server/domain/pandit.py",
            "from server import settings\n",
            "1: domain must not import settings (server.settings)",
        ),
        (
            "server/domain/pandit.py",
            "from ..services import bookings\n",
            "1: domain must not import services (server.services.bookings)",
        ),
        (
            "server/services/chats.py",
            "from server.store.client import x\n",
            "1: services must not import store (server.store.client)",
        ),
        ("server/services/chats.py", "import pymongo\n", "1: services must not import pymongo"),
        (
            "server/services/chats.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import server.app\n",
            "3: services must not import app (server.app)",
        ),
        (
            "server/handlers/chats.py",
            "import server.store.client\n",
            "1: handlers must not import store (server.store.client)",
        ),
        ("server/ws/hub.py", "import redis.asyncio\n", "1: ws must not import redis"),
        (
            "server/ws/hub.py",
            "from server.handlers import bookings\n",
            "1: ws must not import handlers (server.handlers.bookings)",
        ),
        (
            "server/bus/memory.py",
            "from server.store import client\n",
            "1: bus must not import store (server.store.client)",
        ),
        ("server/bus/memory.py", "import pymongo\n", "1: bus must not import pymongo"),
        (
            "server/bus/memory.py",
            "import recsys.artifact\n",
            "1: bus must not import recsys (recsys.artifact)",
        ),
        (
            "server/schemas/chats.py",
            "from server.services import bookings\n",
            "1: schemas must not import services (server.services.bookings)",
        ),
        (
            "kundali/houses.py",
            "from server.domain import money\n",
            "1: kundali must not import domain (server.domain.money)",
        ),
        (
            "recsys/train.py",
            "import importlib\nimportlib.import_module('server.app')\n",
            "2: recsys must not import app (server.app)",
        ),
        (
            "server/app.py",
            "import secantusdb\n",
            "1: secantusdb runs as a process of its own; nothing may import it",
        ),
        (
            "server/services/chats.py",
            "def late():\n    from server.domain import money\n",
            "2: import of server.domain.money inside a function",
        ),
        (
            "server/services/chats.py",
            "class A:\n    async def late(self):\n        import json\n",
            "3: import of json inside a function",
        ),
    ],
)
def test_a_forbidden_import_is_named_with_its_line(
    tmp_path: Path, name: str, source: str, expected: str
) -> None:
    assert faults(tree(tmp_path, SOUND | {name: source})) == [f"{name}:{expected}"]


def test_a_cycle_is_told_with_the_way_round(tmp_path: Path) -> None:
    files = SOUND | {
        "server/domain/one.py": "from server.domain import two\n",
        "server/domain/two.py": "from server.domain.three import x\n",
        "server/domain/three.py": "import server.domain.one\n",
    }
    (fault,) = faults(tree(tmp_path, files))
    assert fault.endswith(
        "cycle: server.domain.one -> server.domain.two -> server.domain.three -> server.domain.one"
    )


def test_an_import_for_the_type_checker_makes_no_cycle(tmp_path: Path) -> None:
    files = SOUND | {
        "server/domain/one.py": "from server.domain import two\n",
        "server/domain/two.py": "import typing\nif typing.TYPE_CHECKING:\n"
        "    from server.domain import one\n",
    }
    assert faults(tree(tmp_path, files)) == []


def test_a_room_that_the_table_does_not_know_is_a_fault(tmp_path: Path) -> None:
    files = SOUND | {"server/helpers/text.py": ""}
    assert faults(tree(tmp_path, files)) == [
        "server/helpers/text.py:1: the room 'helpers' is not in the import table"
    ]
