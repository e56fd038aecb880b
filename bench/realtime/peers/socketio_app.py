"""Chat in python-socketio, one room of its own kind for each room; for uvicorn."""

from __future__ import annotations

from typing import Any

import socketio
from desk import PING_SECONDS, Desk, Refused

sio = socketio.AsyncServer(
    async_mode="asgi", ping_interval=PING_SECONDS, ping_timeout=20, cors_allowed_origins=[]
)
app = socketio.ASGIApp(sio)
_desks: list[Desk] = []


def desk() -> Desk:
    """The process's desk, made when the loop runs."""
    if not _desks:
        _desks.append(Desk())
    return _desks[0]


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    """Admit, enter the room, say hello, bring up to date."""
    try:
        user = await desk().admit(auth["token"], auth["room"])
    except Refused:
        raise socketio.exceptions.ConnectionRefusedError("not admitted") from None
    await sio.save_session(sid, {"user": user, "room": auth["room"]})
    await sio.enter_room(sid, auth["room"])
    await sio.emit("chat", desk().hello(user, auth["room"]), to=sid)
    await sio.emit("chat", await desk().history(auth["room"], auth["after"]), to=sid)


@sio.on("chat")
async def chat(sid: str, command: dict[str, Any]) -> None:
    """Store a message, acknowledge it, tell the room."""
    session = await sio.get_session(sid)
    frame, ack = await desk().store(session["user"], session["room"], command)
    await sio.emit("chat", ack, to=sid)
    await sio.emit("chat", frame, room=session["room"], skip_sid=sid)
