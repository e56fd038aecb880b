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

from server.ws.framing import Opcode, Received, read_frames, unmask_by_ints

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
