from __future__ import annotations

import gc
import gzip
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from recsys import artifact
from recsys.artifact import (
    SCHEMA_VERSION,
    ArtifactError,
    ArtifactWriter,
    Limits,
    SmokeCase,
    load,
)
from tests.model_artifacts import ITEMS, USERS, a_manifest, fill, forge, forge_file, weights

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "staged"
    made.mkdir()
    version = fill(ArtifactWriter(made)).version
    return made.rename(tmp_path / version)


def refused(folder: Path, code: str, reason: str = ".", **options: Any) -> None:
    with pytest.raises(ArtifactError, match=reason) as caught:
        load(folder, **options)
    assert caught.value.code == code


def npy_bytes(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def test_what_was_written_is_read(folder: Path) -> None:
    found = load(folder)
    assert found.version == folder.name
    np.testing.assert_array_equal(found.arrays["samagri.ease.weights"], weights())
    assert found.ids["items"].ids == ITEMS
    assert found.ids["users"].decode([9, 0]) == [USERS[9], USERS[0]]
    assert found.documents["rules"] == {"griha-pravesh": ["kalash"]}
    assert set(found.part("samagri.ease")) == {"weights"}
    assert found.manifest.metrics == {"ndcg@10": 0.25}


def test_arrays_are_maps_that_cannot_be_written(folder: Path) -> None:
    array = load(folder).arrays["samagri.ease.weights"]
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_a_loaded_model_outlives_its_files(folder: Path) -> None:
    found = load(folder)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(found.arrays["samagri.ease.weights"], weights())


def test_equal_content_gives_equal_bytes_and_the_same_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for each in (first, second):
        each.mkdir()
        fill(ArtifactWriter(each))
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_other_orders_and_byte_orders_are_stored_plainly(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path)
    values = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    writer.array("turned", values)
    writer.array("empty", np.empty((0, 4), np.float32))
    writer.array("one", np.array(2.5))
    writer.finish(a_manifest())
    arrays = load(tmp_path).arrays
    assert arrays["turned"].dtype.str == "<f4"
    assert arrays["turned"].flags.c_contiguous
    np.testing.assert_array_equal(arrays["turned"], values)
    assert arrays["empty"].shape == (0, 4)
    assert float(arrays["one"]) == 2.5


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.array([object()]), "dtype"),
        (np.array(["a"]), "dtype"),
        (np.array([1.0, np.nan], np.float32), "finite"),
        (np.array([np.inf]), "finite"),
    ],
)
def test_a_writer_refuses_what_could_not_be_loaded(
    tmp_path: Path, values: np.ndarray, code: str
) -> None:
    with pytest.raises(ArtifactError) as caught:
        ArtifactWriter(tmp_path).array("bad", values)
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/b", ".hidden", "A", "", "x\0y", "a" * 101])
def test_a_writer_takes_plain_names_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        ArtifactWriter(tmp_path).text(name, "")
    assert caught.value.code == "name"


# --- hostile and damaged artifacts ---


@pytest.mark.parametrize("name", ["samagri.ease.weights.npy", "rules.json", "card.md"])
def test_one_flipped_bit_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, "hash", name)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_the_manifest_is_refused(folder: Path, part: float) -> None:
    path = folder / "manifest.json"
    data = bytearray(path.read_bytes())
    data[int(len(data) * part)] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        load(folder)
    assert caught.value.code in {"manifest", "hash", "schema"}


@pytest.mark.parametrize(
    "name", ["samagri.ease.weights.npy", "ids.users.jsonl.gz", "rules.json", "card.md"]
)
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    size = (folder / name).stat().st_size
    os.truncate(folder / name, size - 1)
    refused(folder, "size", name)


def test_a_truncated_manifest_is_refused(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 100)
    refused(folder, "manifest")


@pytest.mark.parametrize(
    "name", ["samagri.ease.weights.npy", "manifest.json", "ids.items.jsonl.gz"]
)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, "missing", name)


def test_a_schema_from_the_future_is_refused(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_bytes())
    content |= {"schema_version": SCHEMA_VERSION + 1, "something_new": {}}
    (folder / "manifest.json").write_text(json.dumps(content))
    refused(folder, "schema", f"schema {SCHEMA_VERSION + 1}; this program reads")


def test_a_schema_of_the_past_is_refused(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_bytes())
    content |= {"schema_version": SCHEMA_VERSION - 1}
    (folder / "manifest.json").write_text(json.dumps(content))
    refused(folder, "schema", f"schema {SCHEMA_VERSION - 1}; this program reads")


def test_another_type_than_the_manifest_says_is_refused(folder: Path) -> None:
    data = npy_bytes(weights().view(np.int32))
    forge_file(folder, "samagri.ease.weights.npy", data)
    refused(folder, "dtype", "<i4")


def test_another_shape_than_the_manifest_says_is_refused(folder: Path) -> None:
    data = npy_bytes(weights().reshape(2, 8))
    forge_file(folder, "samagri.ease.weights.npy", data)
    refused(folder, "shape", r"\(2, 8\)")


def test_a_shape_that_does_not_fill_the_file_is_refused(folder: Path) -> None:
    data = npy_bytes(weights()) + b"\0\0\0\0"
    forge_file(folder, "samagri.ease.weights.npy", data)
    refused(folder, "size")


class Trap:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(os.environ["PANDITYATRA_TRAP"]),))


def test_an_object_array_is_refused_and_never_unpickled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "unpickled"
    monkeypatch.setenv("PANDITYATRA_TRAP", str(mark))
    data = npy_bytes(np.array([Trap()] * 4, dtype=object), allow_pickle=True)
    np.load(io.BytesIO(data), allow_pickle=True)
    assert mark.exists(), "the trap must work for the test to mean anything"
    mark.unlink()
    forge_file(folder, "popular.npy", data, dtype="|O", shape=[4])
    refused(folder, "dtype")
    forge_file(folder, "popular.npy", data, dtype="<i4", shape=[4])
    refused(folder, "dtype", r"\|O")
    assert not mark.exists()


def test_a_bare_pickle_under_an_array_s_name_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "unpickled"
    monkeypatch.setenv("PANDITYATRA_TRAP", str(mark))
    forge_file(folder, "popular.npy", pickle.dumps(Trap()))
    refused(folder, "dtype", "no array")
    assert not mark.exists()


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 4), }",
        b"{'descr': '<f4', 'fortran_order': True, 'shape': (4, 4), }",
        b"__import__('os').abort()",
        b"(" * 5000,
        b"{'descr': '<f4'",
        b"\xff\xfe",
    ],
)
def test_a_hostile_header_is_refused(folder: Path, header: bytes) -> None:
    line = header + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(64)
    forge_file(folder, "samagri.ease.weights.npy", data)
    with pytest.raises(ArtifactError) as caught:
        load(folder)
    assert caught.value.code in {"dtype", "shape"}


def test_a_header_at_which_python_itself_fails_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, tries = npy.read_array_header_1_0, 0

    def read_at_last(stream: io.FileIO) -> Any:
        nonlocal tries
        tries += 1
        if tries % 5:
            stream.read(7)
            raise SystemError("AST constructor recursion depth mismatch (before=36, after=155)")
        return read(stream)

    monkeypatch.setattr(npy, "read_array_header_1_0", read_at_last)
    arrays = load(folder).arrays
    assert tries == 5 * len(arrays)
    assert np.array_equal(arrays["samagri.ease.weights"], weights())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(folder: Path, bad: float) -> None:
    values = weights()
    values[3, 3] = bad
    forge_file(folder, "samagri.ease.weights.npy", npy_bytes(values))
    refused(folder, "finite", "samagri.ease.weights")


@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1])
def test_an_index_outside_the_id_map_is_refused(folder: Path, index: int) -> None:
    data = npy_bytes(np.array([0, index, 1], np.int32))
    forge_file(folder, "popular.npy", data)
    refused(folder, "ids", "outside the 4 items")


def packed(*lines: object) -> bytes:
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines), mtime=0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packed(["kalash", "dhoop", "kalash", "ghee"]), "more than once"),
        (packed(["kalash", "dhoop"]), "2 identifiers, the manifest says 4"),
        (packed([1, 2, 3, 4]), "cannot be read"),
        (packed(list(ITEMS))[:-6], "cannot be read"),
        (packed(list(ITEMS)) + b"tail", "cannot be read"),
        (b"no gzip", "cannot be read"),
    ],
)
def test_identifiers_that_cannot_be_right_are_refused(
    folder: Path, data: bytes, reason: str
) -> None:
    forge_file(folder, "ids.items.jsonl.gz", data)
    refused(folder, "ids", reason)


def test_a_packed_bomb_is_not_unpacked(folder: Path) -> None:
    line = json.dumps(["a" * 900_000]).encode() + b"\n"
    forge_file(folder, "ids.items.jsonl.gz", gzip.compress(line * 100, mtime=0))
    tracemalloc.start()
    try:
        refused(folder, "limit", "more than 10000 bytes", limits=Limits(ids_bytes=10_000))
        refused(folder, "limit", "identifiers of more than")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_more_identifiers_than_the_manifest_says_end_the_reading(folder: Path) -> None:
    line = json.dumps(["aa"] * 100_000).encode() + b"\n"
    forge_file(folder, "ids.items.jsonl.gz", gzip.compress(line * 100, mtime=0))
    tracemalloc.start()
    try:
        refused(folder, "ids", "more than the 4 that the manifest says")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_line_without_an_end_is_not_unpacked(tmp_path: Path) -> None:
    writer = ArtifactWriter(tmp_path)
    writer.ids("others", [str(number) for number in range(40_000)])
    writer.finish(a_manifest())
    forge_file(tmp_path, "ids.others.jsonl.gz", gzip.compress(b" " * 50_000_000, mtime=0))
    refused(tmp_path, "limit", "a line")


def test_a_writer_refuses_identifiers_too_long_to_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        ArtifactWriter(tmp_path).ids("items", ["a" * 2_000_000])
    assert caught.value.code == "limit"
    assert not list(tmp_path.iterdir())


def test_a_text_of_another_size_than_written_is_not_read(folder: Path) -> None:
    assert artifact.read_text(folder, "card.md")
    os.truncate(folder / "card.md", 500_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError) as caught:
            artifact.read_text(folder, "card.md")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code == "size"


def test_an_id_map_of_another_length_than_its_arrays_is_refused(folder: Path) -> None:
    forge_file(folder, "ids.items.jsonl.gz", packed([*ITEMS, "honey"]))
    content = json.loads((folder / "manifest.json").read_bytes())
    content["id_maps"]["items"]["count"] = 5
    forge(folder, id_maps=content["id_maps"])
    refused(folder, "ids", "is not 5 items")


@pytest.mark.parametrize(
    "name", ["../secret.npy", "/etc/hostname", "a/b.npy", "..", "manifest.json"]
)
def test_a_path_that_leads_elsewhere_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "secret.npy").write_bytes(npy_bytes(weights()))
    content = json.loads((folder / "manifest.json").read_bytes())
    content["files"][0]["path"] = name
    forge(folder, files=content["files"])
    refused(folder, "name", "not a plain file name")


@pytest.mark.parametrize("name", ["samagri.ease.weights.npy", "manifest.json"])
def test_a_link_is_refused_even_to_the_right_bytes(folder: Path, tmp_path: Path, name: str) -> None:
    elsewhere = (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(elsewhere)
    refused(folder, "name", "is a link")


def test_a_pipe_does_not_block_and_is_refused(folder: Path) -> None:
    (folder / "popular.npy").unlink()
    os.mkfifo(folder / "popular.npy")
    refused(folder, "name", "not a regular file")


def test_sizes_over_the_limits_are_refused_before_reading(folder: Path) -> None:
    refused(folder, "limit", limits=Limits(file_bytes=50))
    refused(folder, "limit", limits=Limits(total_bytes=100))
    refused(folder, "limit", limits=Limits(manifest_bytes=100))
    refused(folder, "limit", limits=Limits(files=3))
    refused(folder, "limit", limits=Limits(text_bytes=10))


def test_a_version_in_another_one_s_folder_is_refused(folder: Path) -> None:
    other = folder.rename(folder.with_name("20260401T031500Z-00000000"))
    refused(other, "name", "holds version")


def test_deep_json_is_refused_without_a_crash(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[" * 100_000)
    refused(folder, "manifest")
    forge_file_safe = b'{"schema_version":%d,"config":' % SCHEMA_VERSION + b"[" * 100_000
    (folder / "manifest.json").write_bytes(forge_file_safe)
    refused(folder, "manifest")


def test_a_file_that_the_manifest_does_not_name_is_not_read(folder: Path) -> None:
    (folder / "extra.npy").write_bytes(b"nonsense")
    assert "extra" not in load(folder).arrays


# --- after loading ---


def answers(*found: str) -> artifact.Answerer:
    return lambda case: found


def test_the_same_build_has_to_answer_the_same(folder: Path) -> None:
    manifest = load(folder).manifest
    artifact.check_smoke(manifest, answers("ghee", "dhoop", "more"), build="test")
    with pytest.raises(ArtifactError, match="question 0") as caught:
        artifact.check_smoke(manifest, answers("dhoop", "ghee"), build="test")
    assert caught.value.code == "smoke"


def test_another_build_may_differ_a_little(folder: Path) -> None:
    manifest = load(folder).manifest
    artifact.check_smoke(manifest, answers("dhoop", "ghee"), build="other")
    with pytest.raises(ArtifactError, match=r"overlap by 0\.33"):
        artifact.check_smoke(manifest, answers("dhoop", "honey"), build="other")


def test_a_model_that_fails_to_answer_is_refused(folder: Path) -> None:
    def fails(case: SmokeCase) -> list[str]:
        raise KeyError(case.kind)

    with pytest.raises(ArtifactError, match="failed: KeyError"):
        artifact.check_smoke(load(folder).manifest, fails, build="test")


def test_a_model_for_another_catalogue_is_refused(folder: Path) -> None:
    found = load(folder)
    assert artifact.check_known(found, "items", set(ITEMS)) == 0
    assert artifact.check_known(found, "items", set(ITEMS[1:]), at_most=0.3) == 1
    with pytest.raises(ArtifactError, match="1 of 4 items identifiers are unknown") as caught:
        artifact.check_known(found, "items", set(ITEMS[1:]))
    assert caught.value.code == "ids"


_RSS = """
import os, sys
from pathlib import Path
from recsys.artifact import load

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

folder = Path(sys.argv[1])
load(Path(sys.argv[2]))
before = resident()
found = load(folder)
grown = resident() - before
print(grown, float(found.arrays["big"][-1, -1]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_loading_maps_and_does_not_read_into_memory(folder: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    writer = ArtifactWriter(big)
    writer.array("big", np.ones((16_000, 1000), np.float32))
    writer.finish(a_manifest())
    command = [sys.executable, "-c", _RSS, str(big), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - itself
    grown, last = done.stdout.split()
    assert float(last) == 1.0
    assert int(grown) < 0.2 * 64_000_000


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_refused_artifacts_leave_no_file_open(folder: Path) -> None:
    os.truncate(folder / "samagri.ease.weights.npy", 10)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        refused(folder, "size")
    # Tracebacks hold the arrays that were mapped before the fault, in cycles.
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
