"""Streams of frames as clients send them, and the strict library that judges how we read them."""

import itertools
import struct
import zlib

from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.frames import Opcode as OracleOpcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from server.ws.framing import PING, Opcode, Received, encode, read_frames, unmask_by_ints

LIMIT = 16 * 1024
MASK = b"\x37\xfa\x21\x3d"


def client(first: int, payload: bytes = b"", *, form: int = 0, mask: bytes = MASK) -> bytes:
    """A masked frame; ``form`` 126 or 127 forces that form of the length."""
    size = len(payload)
    form = form or (size if size < 126 else 126 if size < 65536 else 127)
    head = bytes((first, 0x80 | form))
    if form >= 126:
        head += struct.pack("!H" if form == 126 else "!Q", size)
    return head + mask + unmask_by_ints(mask, payload)


def read_all(chunks, limit=LIMIT, *, deflate=False):
    """What a connection does: read until a fault or a close frame."""
    found, partial = [], None
    for chunk in chunks:
        frames, partial, fault = read_frames(chunk, partial, limit, deflate=deflate)
        found += frames
        if fault is not None or (found and found[-1].opcode == Opcode.CLOSE):
            return found, fault
    return found, None


def one_by_one(data):
    return [data[i : i + 1] for i in range(len(data))]


def compressed(text: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(text) + stream.flush(flush)).removesuffix(b"\x00\x00\xff\xff")


# What a client may get wrong, and the code that answers it.

TEXT = client(0x81, b"before")
START = client(0x01, b"start")

FAULTS = {
    "first reserved bit without compression": (client(0xC1, b"x"), 1002),
    "second reserved bit": (client(0xA1, b"x"), 1002),
    "third reserved bit": (client(0x91, b"x"), 1002),
    "reserved bit on a ping": (client(0xC9), 1002),
    "opcode 3": (client(0x83), 1002),
    "opcode 7": (client(0x87), 1002),
    "opcode 11": (client(0x8B), 1002),
    "opcode 15": (client(0x8F), 1002),
    "text without mask": (encode(b"Hello"), 1002),
    "ping without mask": (PING, 1002),
    "close in fragments": (client(0x08), 1002),
    "ping in fragments": (client(0x09), 1002),
    "ping of 126 bytes": (client(0x89, bytes(126)), 1002),
    "close of 126 bytes": (client(0x88, b"\x03\xe8" + bytes(124)), 1002),
    "ping with a long length of 5": (client(0x89, bytes(5), form=126), 1002),
    "continuation of nothing": (client(0x80, b"x"), 1002),
    "open continuation of nothing": (client(0x00, b"x"), 1002),
    "text inside a message": (START + client(0x81, b"x"), 1002),
    "binary inside a message": (START + client(0x02, b"x"), 1002),
    "5 in 16 bits": (client(0x81, b"Hello", form=126), 1002),
    "0 in 16 bits": (client(0x81, b"", form=126), 1002),
    "5 in 64 bits": (client(0x81, b"Hello", form=127), 1002),
    "200 in 64 bits": (client(0x81, b"x" * 200, form=127), 1002),
    "65535 in 64 bits": (client(0x81, b"x" * 65535, form=127), 1002),
    "the top bit of 64": (b"\x81\xff\x80" + bytes(7) + MASK, 1002),
    "close of one byte": (client(0x88, b"\x03"), 1002),
    "bad UTF-8": (client(0x81, b"\xff"), 1007),
    "bad UTF-8 in a longer frame": (client(0x81, b"x" * 200 + b"\xff"), 1007),
    "UTF-8 cut short": (client(0x81, "न".encode()[:2]), 1007),
    "a surrogate": (client(0x81, b"\xed\xa0\x80"), 1007),
    "an overlong form": (client(0x81, b"\xc0\xaf"), 1007),
    "above U+10FFFF": (client(0x81, b"\xf4\x90\x80\x80"), 1007),
    "bad UTF-8 over fragments": (client(0x01, b"\xe0\xa4") + client(0x80, b"x"), 1007),
    "bad UTF-8 in a reason": (client(0x88, b"\x03\xe8\xff"), 1007),
    "above the limit": (client(0x81, b"x" * (LIMIT + 1)), 1009),
    "binary above the limit": (client(0x82, b"x" * (LIMIT + 1)), 1009),
    "far above the limit": (b"\x81\xff\x7f" + b"\xff" * 7 + MASK, 1009),
    "fragments above the limit": (START + client(0x80, b"x" * (LIMIT - 4)), 1009),
}


@st.composite
def messages(draw, *, deflate=False):
    """A few valid messages as a client may frame them, with control frames between."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            opcode, body = 1, draw(st.text(max_size=60)).encode()
            body *= draw(st.sampled_from((1, 1, 1, 10, 70)))
        else:
            opcode, body = 2, draw(st.binary(max_size=200))
        if deflate and draw(st.booleans()):
            opcode |= 0x40
            body = compressed(body)
        size = len(body)
        cuts = sorted(draw(st.lists(st.integers(0, size), max_size=3)))
        pieces = [body[a:b] for a, b in itertools.pairwise([0, *cuts, size])]
        for number, piece in enumerate(pieces):
            first = (0 if number else opcode) | (0x80 if number == len(pieces) - 1 else 0)
            out.append(client(first, piece, mask=draw(st.binary(min_size=4, max_size=4))))
            if draw(st.integers(0, 3)) == 0:
                control = draw(st.sampled_from((0x89, 0x8A)))
                out.append(client(control, draw(st.binary(max_size=125))))
    if draw(st.integers(0, 3)) == 0:
        out.append(client(0x88, struct.pack("!H", draw(st.sampled_from((1000, 4001))))))
    return b"".join(out)


@st.composite
def damaged(draw, *, deflate=False):
    """A valid stream in which some bytes were changed, taken out or put in."""
    data = bytearray(draw(messages(deflate=deflate)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        what = draw(st.integers(0, 2))
        if what == 0:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif what == 1:
            del data[at : at + draw(st.integers(1, 4))]
        else:
            data[at:at] = draw(st.binary(max_size=6))
    return bytes(data)


def cut(data, places):
    return [data[a:b] for a, b in itertools.pairwise([0, *sorted(places), len(data)])]


def is_not_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


CLOSED_INSIDE = 1
"""Stands for a close frame inside a message, where we and the library differ."""


def judged(data, limit, *, deflate=False):
    """What the Sans-I/O half of ``websockets`` makes of a stream, in our terms."""
    judge = ServerProtocol(state=OPEN, max_size=limit)
    if deflate:
        factory = ServerPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        )
        judge.extensions = [factory.process_request_params([], [])[1]]
    judge.receive_data(data)
    found, parts, opcode = [], b"", 0
    for frame in judge.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (OracleOpcode.PING, OracleOpcode.PONG, OracleOpcode.CLOSE):
            found.append(Received(int(frame.opcode), bytes(frame.data)))
            continue
        if frame.opcode is not OracleOpcode.CONT:
            opcode = int(frame.opcode)
        parts += bytes(frame.data)
        if frame.fin:
            if opcode == Opcode.TEXT and is_not_utf8(parts):
                return found, 1007  # the layer above does this in the library
            found.append(Received(opcode, parts))
            parts = b""
    if judge.parser_exc is None:
        return found, None
    if str(judge.parser_exc) == "incomplete fragmented message":
        return found, CLOSED_INSIDE
    if isinstance(judge.parser_exc, PayloadTooBig):
        return found, 1009
    return found, 1007 if isinstance(judge.parser_exc, UnicodeDecodeError) else 1002


def agree(data, limit, *, deflate=False):
    """Compare with the judge where it is as strict as we are."""
    found, fault = read_all([data], limit, deflate=deflate)
    theirs, code = judged(data, limit, deflate=deflate)
    if fault is not None and fault.reason in LAXER:
        assert theirs[: len(found)] == found
        return
    if fault is not None and code is None:
        # We know from the header; the library wants to see the whole frame first.
        theirs, code = judged(data + bytes(2 * limit), limit, deflate=deflate)
    if code == CLOSED_INSIDE:
        # RFC 6455, 5.4 lets every control frame come between fragments; the library not this one.
        assert fault is None
        assert found[-1].opcode == Opcode.CLOSE
        assert found[:-1] == theirs
        return
    assert found == theirs
    if fault is not None and fault.code == 1002:
        # Of a frame with two faults it may tell the later one.
        assert code in ((1002, 1007) if "close code" in fault.reason else (1002, 1009))
    else:
        assert code == (None if fault is None else fault.code)


LAXER = {
    # The library takes lengths in any form, lets the reader of the socket count fragments, judges
    # a compressed message piece by piece, and takes one that is cut short.
    "a length not in its shortest form",
    "a length above 63 bits",
    "too many fragments",
    "not deflate",
    "too big",
}
