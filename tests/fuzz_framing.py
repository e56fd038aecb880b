"""A longer search for streams that our reading of frames gets wrong.

    python -m tests.fuzz_framing --seconds 60

Valid and damaged streams, with and without compression, against the strict library and against
themselves cut in other places. Ends with 1 and the smallest such stream when it finds one.
"""

import argparse
import itertools
import sys
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from tests.frame_streams import LIMIT, agree, cut, damaged, messages, one_by_one, read_all

BATCH = 500
SEARCH = settings(
    max_examples=BATCH,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@SEARCH
@given(messages())
def valid(data):
    agree(data, LIMIT)


@SEARCH
@given(messages(deflate=True))
def valid_and_compressed(data):
    agree(data, LIMIT, deflate=True)


@SEARCH
@given(damaged())
def broken(data):
    agree(data, LIMIT)


@SEARCH
@given(
    damaged(deflate=True) | st.binary(max_size=300),
    st.data(),
    st.sampled_from((0, 1, 10, 100, LIMIT)),
    st.booleans(),
)
def recut(data, draw, limit, deflate):
    whole = read_all([data], limit, deflate=deflate)
    assert read_all(one_by_one(data), limit, deflate=deflate) == whole
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))
    assert read_all(cut(data, places), limit, deflate=deflate) == whole


def main() -> int:
    parser = argparse.ArgumentParser(description="Search for streams that are read wrongly.")
    parser.add_argument("--seconds", type=float, default=60.0)
    end = time.monotonic() + parser.parse_args().seconds
    progress = tqdm(unit=" streams", mininterval=1.0)
    for search in itertools.cycle((valid, valid_and_compressed, broken, recut)):
        try:
            search()
        except AssertionError as error:
            progress.close()
            sys.stderr.write(f"{search.__name__}: {error}\n" + "\n".join(error.__notes__) + "\n")
            return 1
        progress.update(BATCH)
        if time.monotonic() > end:
            progress.close()
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
