"""The bytes of RFC 6455: its own examples, any way of cutting, a strict library as the judge."""

import base64
import os
import struct
import sys
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame
from websockets.frames import Opcode as OracleOpcode

from server.ws import framing
from server.ws.framing import (
    PING,
    Fault,
    Opcode,
    Partial,
    Received,
    accept_key,
    close_frame,
    deflated,
    encode,
    handshake_fault,
    handshake_response,
    is_valid_close_code,
    is_valid_handshake,
    negotiate_deflate,
    read_frames,
    unmask_by_ints,
)
from tests.frame_streams import (
    FAULTS,
    LIMIT,
    START,
    TEXT,
    agree,
    client,
    compressed,
    cut,
    damaged,
    messages,
    one_by_one,
    read_all,
)

# The same examples each time, as slow as the machine is; tests.fuzz_framing looks for new ones.
UNHURRIED = settings(deadline=None, derandomize=True)
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def fault_of(data, limit=LIMIT, *, deflate=False):
    """The code of the fault, which must be the same in whole and byte by byte."""
    whole = read_all([data], limit, deflate=deflate)
    assert whole == read_all(one_by_one(data), limit, deflate=deflate)
    return None if whole[1] is None else whole[1].code


# The examples of RFC 6455, 5.7, and RFC 7692, 7.2.3.


def test_the_masked_text_of_the_rfc_is_read():
    data = bytes.fromhex("818537fa213d7f9f4d5158")
    assert read_frames(data, None, LIMIT) == ([Received(Opcode.TEXT, b"Hello")], None, None)


def test_the_unmasked_frames_of_the_rfc_are_written():
    assert encode(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert encode(b"Hello", Opcode.PING) == bytes.fromhex("890548656c6c6f")
    assert encode(bytes(256), Opcode.BINARY)[:4] == bytes.fromhex("827e0100")
    assert encode(bytes(65536), Opcode.BINARY)[:10] == bytes.fromhex("827f0000000000010000")
    assert bytes.fromhex("8900") == PING


def test_the_masked_pong_of_the_rfc_is_read():
    data = bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert read_frames(data, None, LIMIT)[0] == [Received(Opcode.PONG, b"Hello")]


def test_the_fragments_of_the_rfc_are_one_message():
    data = client(0x01, b"Hel") + client(0x80, b"lo")
    assert fault_of(data) is None
    assert read_all([data])[0] == [Received(Opcode.TEXT, b"Hello")]


@pytest.mark.parametrize(
    "payload",
    [
        "f248cdc9c90700",  # one block
        "000500faff48656c6c6f00",  # not compressed
        "f348cdc9c9070000",  # a final block and an empty one
        "f248050000 00ffffcac9c90700",  # two blocks
    ],
)
def test_the_compressed_hello_of_the_rfc_is_read(payload):
    data = client(0xC1, bytes.fromhex(payload))
    assert read_all([data], deflate=True) == ([Received(Opcode.TEXT, b"Hello")], None)
    assert fault_of(data) == 1002


def test_the_compressed_fragments_of_the_rfc_are_one_message():
    data = client(0x41, bytes.fromhex("f248cd")) + client(0x80, bytes.fromhex("c9c90700"))
    assert fault_of(data, deflate=True) is None
    assert read_all([data], deflate=True)[0] == [Received(Opcode.TEXT, b"Hello")]


def test_the_key_of_the_rfc_is_answered():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# Every fault, in whole and byte by byte.


@pytest.mark.parametrize(("data", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_has_its_code_and_what_came_before_is_there(data, code):
    assert fault_of(data) == code
    found, fault = read_all([TEXT + data + TEXT])
    assert found == [Received(Opcode.TEXT, b"before")]
    assert fault is not None
    assert fault.code == code
    assert len(fault.reason.encode()) <= 123


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client(0xC9), 1002),
        (START + client(0xC0, b"x"), 1002),
        (client(0x41, b"x") + client(0xC0, b"x"), 1002),
        (client(0xE1, b"x"), 1002),
        (client(0xC1, b"\xff\xff\xff"), 1007),
        (client(0xC1, compressed(b"Hello, hello, hello")[:-3]), 1007),
        (client(0xC1, compressed(b"x" * 2000, zlib.Z_FINISH)[:-2]), 1007),
        (client(0xC1, b"\x03\x00" * 500), 1007),
        (client(0xC1, compressed(b"\xff\xfe")), 1007),
        (client(0xC1, compressed(b"x" * (LIMIT + 1))), 1009),
        (client(0xC1, compressed(bytes(10_000_000))), 1009),
    ],
)
def test_a_fault_of_compression_has_its_code(data, code):
    assert fault_of(data, deflate=True) == code


def test_a_plain_frame_is_read_on_a_socket_with_compression():
    data = client(0x81, b"plain") + client(0xC1, compressed(b"packed"))
    assert [each.payload for each in read_all([data], deflate=True)[0]] == [b"plain", b"packed"]


def test_every_close_code_is_judged_as_the_registry_says():
    valid = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    for code in range(65536):
        _, _, fault = read_frames(client(0x88, struct.pack("!H", code)), None, LIMIT)
        assert (fault is None) is (code in valid) is is_valid_close_code(code)
        assert fault is None or fault.code == 1002


def test_a_close_frame_ends_the_stream():
    for payload in (b"", b"\x03\xe8", b"\x0f\xa0" + "फेरि".encode()):
        data = TEXT + client(0x88, payload)
        assert read_frames(data + TEXT + b"\xff", None, LIMIT) == (
            [Received(Opcode.TEXT, b"before"), Received(Opcode.CLOSE, payload)],
            None,
            None,
        )


def test_control_frames_come_between_fragments():
    data = START + client(0x89, b"p") + client(0x00, b"-") + client(0x8A) + client(0x80, b"end")
    assert fault_of(data) is None
    assert read_all([data])[0] == [
        Received(Opcode.PING, b"p"),
        Received(Opcode.PONG, b""),
        Received(Opcode.TEXT, b"start-end"),
    ]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4000, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("first", [0x81, 0x82])
def test_every_size_up_to_the_limit_is_read(size, first):
    data = client(first, b"x" * size)
    assert fault_of(data) is None
    assert read_all([data])[0] == [Received(first & 15, b"x" * size)]
    assert read_all([data], size)[0] == [Received(first & 15, b"x" * size)]
    if size:
        assert fault_of(data, size - 1) == 1009


def test_a_message_of_64_bits_is_read():
    text = b"x" * 100_000
    assert read_all([client(0x81, text)], 100_000)[0] == [Received(Opcode.TEXT, text)]
    assert read_all([client(0x81, text)], 99_999)[1].code == 1009


def test_too_much_is_known_from_the_header_alone():
    assert fault_of(client(0x81, b"x" * (LIMIT + 1))[:4]) == 1009
    assert fault_of(b"\x81\xff" + (1 << 40).to_bytes(8, "big")) == 1009


def test_a_multibyte_character_may_lie_across_fragments():
    text = "नमस्ते".encode()
    for place in range(len(text) + 1):
        data = client(0x01, text[:place]) + client(0x80, text[place:])
        assert read_all([data]) == ([Received(Opcode.TEXT, text)], None)


# Any way of cutting, and the strict library as the judge.


@UNHURRIED
@given(messages(), st.data())
def test_any_way_of_cutting_gives_the_same(data, draw):
    whole = read_all([data])
    assert whole[1] is None
    assert read_all(one_by_one(data)) == whole
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert read_all(cut(data, places)) == whole


@UNHURRIED
@given(damaged(deflate=True), st.data(), st.sampled_from((10, 100, LIMIT)), st.booleans())
def test_any_way_of_cutting_gives_the_same_fault(data, draw, limit, deflate):
    whole = read_all([data], limit, deflate=deflate)
    assert read_all(one_by_one(data), limit, deflate=deflate) == whole
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert read_all(cut(data, places), limit, deflate=deflate) == whole


@UNHURRIED
@given(messages())
def test_valid_streams_are_read_as_the_strict_library_reads_them(data):
    agree(data, LIMIT)


@UNHURRIED
@given(messages(deflate=True))
def test_compressed_streams_are_read_as_the_strict_library_reads_them(data):
    agree(data, LIMIT, deflate=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(damaged())
def test_damaged_streams_are_judged_as_the_strict_library_judges_them(data):
    agree(data, LIMIT)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=400), st.booleans())
def test_noise_never_raises_and_always_ends(data, deflate):
    whole = read_all([data], 100, deflate=deflate)
    assert read_all(one_by_one(data), 100, deflate=deflate) == whole


@given(st.binary(max_size=70_000), st.sampled_from((Opcode.BINARY, Opcode.TEXT)))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_strict_library_reads_what_is_written(payload, opcode):
    from_server = encode(payload, opcode)
    assert from_server == Frame(OracleOpcode(opcode), payload).serialize(mask=False)


@UNHURRIED
@given(st.text(max_size=300))
def test_the_strict_library_reads_what_is_compressed(text):
    payload = text.encode()
    frame = deflated(payload)
    if frame is None:
        assert len(compressed(payload)) >= len(payload)
        return
    assert len(frame) < len(encode(payload))
    assert frame[0] == 0xC1
    head = 2 if frame[1] < 126 else 4
    assert zlib.decompress(frame[head:] + b"\x00\x00\xff\xff\x03\x00", -15) == payload
    again = client(0xC1, frame[head:])
    assert read_all([again], max(len(payload), 1), deflate=True)[0][0].payload == payload


def test_what_compression_makes_no_smaller_is_left():
    assert deflated(b"") is None
    assert deflated(b"Hello") is None
    assert deflated(os.urandom(1000)) is None
    assert len(deflated(b"Namaste " * 20_000) or bytes(1000)) < 1000


@UNHURRIED
@given(st.binary(min_size=4, max_size=4), st.binary(max_size=300))
def test_unmasking_in_plain_python_is_that_of_the_extension(mask, data):
    plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    assert unmask_by_ints(mask, data) == framing._unmask(mask, data) == plain


# What a client can make the server keep and do.


def held_bytes(partial: Partial | None) -> int:
    if partial is None:
        return 0
    own = (partial, partial.rest, partial.fragments)
    return sum(sys.getsizeof(each) for each in own if each is not None)


def test_nothing_is_kept_between_messages():
    assert read_frames(TEXT * 10, None, LIMIT)[1] is None
    assert read_frames(b"", None, LIMIT) == ([], None, None)


def test_a_few_bytes_do_not_hold_the_buffer_they_came_in():
    data = client(0x81, b"x" * 1000) * 1000 + TEXT[:3]
    tracemalloc.start()
    try:
        found, partial, _ = read_frames(data, None, LIMIT)
        assert len(found) == 1000
        del found
        before = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held_bytes(partial) < 300
    assert before < 2000


def test_never_more_than_the_limit_and_a_header_is_kept():
    # Half a frame of the limit's size, behind an almost full message of fragments.
    partial = None
    most = 0
    for data in (client(0x01, b"x" * (LIMIT // 2)), client(0x00, b"x" * (LIMIT // 2))[:-1]):
        for byte in one_by_one(data):
            found, partial, fault = read_frames(byte, partial, LIMIT)
            assert (found, fault) == ([], None)
            most = max(most, held_bytes(partial))
    # A growing buffer of the interpreter is an eighth larger than what it holds.
    assert most < LIMIT * 9 / 8 + 400


@pytest.mark.parametrize("piece", [b"", b"x", b"xy"])
def test_fragments_without_end_are_ended(piece):
    partial = None
    fragment = client(0x00, piece)
    found, partial, fault = read_frames(client(0x01, piece), partial, LIMIT)
    most = 0
    for _ in range(LIMIT + 17):
        found, partial, fault = read_frames(fragment, partial, LIMIT)
        assert found == []
        if fault is not None:
            break
        most = max(most, held_bytes(partial))
    assert fault is not None
    assert fault.code == 1009
    assert most < LIMIT * 9 / 8 + 400


def test_a_message_of_single_bytes_is_read():
    text = b"n" * LIMIT
    data = client(0x01, b"n") + client(0x00, b"n") * (LIMIT - 1) + client(0x80)
    assert read_all([data]) == ([Received(Opcode.TEXT, text)], None)


def test_a_frame_byte_by_byte_costs_its_length_and_not_its_square():
    def seconds(size):
        chunks = one_by_one(client(0x81, b"x" * size))
        start = time.process_time()
        found, _ = read_all(chunks, size)
        spent = time.process_time() - start
        assert len(found) == 1
        return spent

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(400_000) < small * 8 * 4


def test_a_bomb_is_not_unpacked():
    bomb = client(0xC1, compressed(bytes(20_000_000))[:LIMIT])
    tracemalloc.start()
    try:
        fault = read_frames(bomb, None, LIMIT * 2, deflate=True)[2]
        assert fault is not None
        assert fault.code == 1009
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# Closing.


def test_a_close_frame_carries_code_and_reason():
    assert close_frame(1001) == b"\x88\x02\x03\xe9"
    assert close_frame(4400, "no") == b"\x88\x04\x11\x30no"


@UNHURRIED
@given(st.text(max_size=200), st.sampled_from((1000, 1011, 3000, 4999)))
def test_a_reason_is_cut_at_a_character(reason, code):
    frame = close_frame(code, reason)
    assert frame[1] == len(frame) - 2 <= 125
    closed = Close.parse(frame[2:])
    assert closed.code == code
    assert reason.startswith(closed.reason)
    assert len(closed.reason.encode()) > 119 or closed.reason == reason


def test_a_lone_surrogate_in_a_reason_does_not_raise():
    assert close_frame(1000, "\ud800") == b"\x88\x03\x03\xe8?"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_code_that_no_frame_may_carry_is_refused(code):
    with pytest.raises(ValueError, match="no close code"):
        close_frame(code)


# The handshake.

GOOD = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, None),
        ({"Upgrade": "WebSocket"}, None),
        ({"Upgrade": "h2c, websocket"}, None),
        ({"Connection": "UPGRADE"}, None),
        ({"Upgrade": ""}, 400),
        ({"Upgrade": "h2c"}, 400),
        ({"Upgrade": "websockets"}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Connection": ""}, 400),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": "13, 8"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "न" * 24}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNh bXBsZSBub25jZQ=="}, 400),
        ({"Sec-WebSocket-Key": base64.b64encode(bytes(15)).decode()}, 400),
        ({"Sec-WebSocket-Key": base64.b64encode(bytes(17)).decode()}, 400),
    ],
)
def test_the_handshake_is_checked(change, status):
    headers = GOOD | change
    assert handshake_fault(headers) == status
    assert is_valid_handshake(headers) is (status is None)
    for name in change:
        if not change[name]:
            assert handshake_fault({k: v for k, v in headers.items() if k != name}) == status


def test_the_answer_switches_protocols():
    head = handshake_response(GOOD["Sec-WebSocket-Key"], "pandityatra.v1", ANSWER)
    assert head.endswith(b"\r\n\r\n")
    status, *lines = head.decode().strip().split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert dict(line.split(": ") for line in lines) == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol": "pandityatra.v1",
        "Sec-WebSocket-Extensions": ANSWER,
    }
    assert handshake_response("k", None, None).count(b"\r\n") == 5


def test_an_answer_with_a_line_break_is_not_made():
    with pytest.raises(ValueError, match="line break"):
        handshake_response("k", "a\r\nSet-Cookie: b", None)


@pytest.mark.parametrize(
    ("offer", "is_taken"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ('permessage-deflate; client_max_window_bits="10"', True),
        ("permessage-deflate;client_no_context_takeover;server_no_context_takeover", True),
        ("x-webkit-deflate-frame, permessage-deflate", True),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; client_max_window_bits=7", False),
        ("permessage-deflate; client_max_window_bits=16", False),
        ("permessage-deflate; client_max_window_bits=", False),
        ("permessage-deflate; client_max_window_bits=010", False),
        ("permessage-deflate; client_no_context_takeover=1", False),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", False),
        ("permessage-deflate; something", False),
        ("x-webkit-deflate-frame", False),
        ("x-permessage-deflate", False),
        ("", False),
        (",;=", False),
    ],
)
def test_the_first_offer_that_can_be_taken_is_taken(offer, is_taken):
    assert negotiate_deflate(offer, is_enabled=True) == (ANSWER if is_taken else None)
    assert negotiate_deflate(offer, is_enabled=False) is None


def test_a_fault_says_code_and_reason():
    assert Fault(1002, "x") == (1002, "x")
