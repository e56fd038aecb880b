from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from recsys.artifact import ArtifactError
from recsys.store import ModelStore
from tests.model_artifacts import add, fill, weights

ROOT = Path(__file__).resolve().parents[3]


def moments(count: int) -> list[str]:
    return [f"202604{day:02d}T031500Z" for day in range(1, count + 1)]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_an_absent_store_has_nothing(store: ModelStore) -> None:
    assert store.current() is None
    assert store.load_current() is None
    assert store.versions() == []
    assert store.previous() is None
    assert not store.root.exists()


def test_a_published_version_is_current(store: ModelStore) -> None:
    version = add(store)
    assert store.current() is None
    entry = store.publish(version, by="somebody", reason="first")
    assert store.current() == version
    found = store.load_current()
    assert found is not None
    np.testing.assert_array_equal(found.arrays["samagri.ease.weights"], weights())
    assert store.history() == [entry]
    assert store.pointer.read_text() == version + "\n"
    assert not list((store.root / "tmp").iterdir())


def test_rolling_back_twice_goes_back_two_steps(store: ModelStore) -> None:
    versions = [add(store, moment=moment) for moment in moments(3)]
    for version in versions:
        store.publish(version)
    assert store.roll_back().version == versions[1]
    assert store.roll_back().version == versions[0]
    with pytest.raises(ArtifactError, match="no earlier version"):
        store.roll_back()
    assert store.current() == versions[0]
    assert store.roll_back(versions[2]).version == versions[2]
    assert [entry.action for entry in store.history()][-3:] == ["rollback"] * 3


def test_a_rollback_without_history_goes_to_the_next_older(store: ModelStore) -> None:
    versions = [add(store, moment=moment) for moment in moments(2)]
    for version in versions:
        store.publish(version)
    (store.root / "history.jsonl").unlink()
    assert store.roll_back().version == versions[0]


def test_a_rollback_goes_to_what_has_served(store: ModelStore) -> None:
    versions = [add(store, moment=moment) for moment in moments(3)]
    store.publish(versions[2])
    assert store.previous() is None
    with pytest.raises(ArtifactError, match="no earlier version"):
        store.roll_back()
    assert store.roll_back(versions[0]).version == versions[0], "by name, as its gates held"


def test_what_failed_a_gate_and_never_served_is_no_way_back(store: ModelStore) -> None:
    gates = ({"name": "coverage", "passed": False},)
    bad, good = (
        add(store, moment=moment, gates=gates if moment == moments(1)[0] else ())
        for moment in moments(2)
    )
    store.publish(good)
    with pytest.raises(ArtifactError, match="failed its gates: coverage") as caught:
        store.roll_back(bad)
    assert caught.value.code == "gates"
    assert store.current() == good
    assert store.roll_back(bad, forced=True).forced
    store.publish(good)
    assert store.roll_back(bad).version == bad, "it has served"


def test_nothing_is_pruned_while_the_pointer_is_spoilt(store: ModelStore) -> None:
    for moment in moments(4):
        add(store, moment=moment)
    store.pointer.write_text("?")
    assert store.prune(keep=1) == []
    assert len(store.versions()) == 4


def test_what_is_pruned_while_it_is_checked_is_not_pointed_at(store: ModelStore) -> None:
    versions = [add(store, moment=moment) for moment in moments(4)]
    store.publish(versions[2])
    gone: list[str] = []
    with pytest.raises(ArtifactError) as caught:
        store.publish(versions[0], check=lambda _: gone.extend(store.prune(keep=1)))
    assert versions[0] in gone
    assert caught.value.code == "missing"
    assert store.current() == versions[2]
    assert [entry.version for entry in store.history()] == [versions[2]]


def test_a_damaged_version_is_not_published(store: ModelStore) -> None:
    first, second = (add(store, moment=moment) for moment in moments(2))
    store.publish(first)
    (store.folder(second) / "als.user.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"als\.user"):
        store.publish(second)
    with pytest.raises(ArtifactError, match=r"als\.user"):
        store.roll_back(second)
    assert store.current() == first


def test_a_version_that_failed_a_gate_is_published_only_by_force(store: ModelStore) -> None:
    gates = ({"name": "coverage", "passed": False}, {"name": "ece", "passed": True})
    version = add(store, gates=gates)
    with pytest.raises(ArtifactError, match="failed its gates: coverage") as caught:
        store.publish(version)
    assert caught.value.code == "gates"
    assert store.publish(version, forced=True).forced
    assert store.current() == version


def test_a_further_check_can_refuse_a_version(store: ModelStore) -> None:
    version = add(store)

    def refuse(artifact: object) -> None:
        raise ArtifactError("smoke", "wrong answers")

    with pytest.raises(ArtifactError, match="wrong answers"):
        store.publish(version, check=refuse)
    assert store.current() is None


@pytest.mark.parametrize("name", ["../../etc", "", "current", "20260401T031500Z-3F9C2A1B", "x/y"])
def test_a_name_that_is_no_version_leads_nowhere(store: ModelStore, name: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        store.load(name)
    assert caught.value.code == "name"


@pytest.mark.parametrize("text", [b"", b"../../etc/passwd\n", b"\xff" * 100, b"x" * 10_000_000])
def test_a_spoilt_pointer_is_refused_and_can_be_replaced(store: ModelStore, text: bytes) -> None:
    version = add(store)
    store.pointer.write_bytes(text)
    with pytest.raises(ArtifactError) as caught:
        store.load_current()
    assert caught.value.code == "pointer"
    assert [each.version for each in store.versions()] == [version]
    store.publish(version)
    assert store.current() == version


def test_a_pointer_that_is_a_link_is_refused(store: ModelStore, tmp_path: Path) -> None:
    version = add(store)
    (tmp_path / "outside").write_text(version)
    store.pointer.symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="is a link"):
        store.current()


def test_pruning_keeps_the_newest_the_published_and_the_way_back(store: ModelStore) -> None:
    versions = [add(store, moment=moment) for moment in moments(9)]
    store.publish(versions[0])
    store.publish(versions[2])
    gone = store.prune(keep=5)
    assert gone == [versions[1], versions[3]]
    stay = [each.version for each in reversed(store.versions())]
    assert stay == [versions[0], versions[2], *versions[4:]]
    assert store.roll_back().version == versions[0]


def test_adding_the_same_artifact_twice_keeps_one(store: ModelStore) -> None:
    assert add(store) == add(store)
    assert len(store.versions()) == 1


def test_rejected_artifacts_are_kept_apart(store: ModelStore) -> None:
    with store.staging() as writer:
        fill(writer, gates=({"name": "coverage", "passed": False},))
        version = store.add(writer.folder, rejected=True)
    assert store.versions() == []
    assert (store.root / "rejected" / version / "card.md").exists()
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        store.publish(version, forced=True)


def test_a_version_whose_manifest_is_spoilt_is_listed_with_the_reason(store: ModelStore) -> None:
    version = add(store)
    (store.folder(version) / "manifest.json").write_text("{}")
    (listed,) = store.versions()
    assert listed.manifest is None
    assert "manifest" in listed.problem


def test_left_overs_of_crashed_writers_are_swept(store: ModelStore) -> None:
    old, fresh = store.root / "tmp" / "old", store.root / "tmp" / "fresh"
    old.mkdir(parents=True)
    fresh.mkdir()
    os.utime(old, (0, 0))
    assert store.sweep() == 1
    assert not old.exists()
    assert fresh.exists()


def test_a_torn_line_of_history_does_not_hide_the_others(store: ModelStore) -> None:
    entry = store.publish(add(store))
    with (store.root / "history.jsonl").open("ab") as stream:
        stream.write(b'{"at": "2026')
    assert store.history() == [entry]


_CRASH = """
import os, shutil, sys
from pathlib import Path
from recsys import artifact, store as stores
from recsys.store import ModelStore
from tests.model_artifacts import add

root, moment = Path(sys.argv[1]), sys.argv[2]
names = ("fsync", "replace", "open", "mkdir")

def publish(folder):
    store = ModelStore(folder)
    version = add(store, moment=moment, scale=2.0)
    store.publish(version)
    store.prune()

def dying(step):
    left = [step]
    def wrap(real):
        def call(*given, **named):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*given, **named)
        return call
    for name in names:
        setattr(os, name, wrap(getattr(os, name)))

step = 0
while True:
    step += 1
    copy = root.with_name(f"crash-{step}")
    shutil.copytree(root, copy)
    child = os.fork()
    if child == 0:
        dying(step)
        publish(copy)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == 9, status
print(step)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_at_any_step_leaves_a_whole_model_serving(
    store: ModelStore, tmp_path: Path
) -> None:
    first, last = moments(2)
    before = add(store, moment=first)
    store.publish(before)
    command = [sys.executable, "-c", _CRASH, str(store.root), last]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - itself
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 25, "every write, sync and rename is a step"
    after = set()
    for step in range(1, steps + 1):
        crashed = ModelStore(tmp_path / f"crash-{step}")
        found = crashed.load_current()
        assert found is not None
        scale = 1.0 if found.version == before else 2.0
        np.testing.assert_array_equal(found.arrays["samagri.ease.weights"], weights(scale))
        after.add(found.version)
        for listed in crashed.versions():
            crashed.load(listed.version)
        again = add(crashed, moment=last, scale=2.0)
        crashed.publish(again)
        assert crashed.current() == again
        assert crashed.roll_back().version == before
    assert len(after) == 2


def test_a_reader_sees_whole_models_during_a_hundred_swaps(store: ModelStore) -> None:
    scales = {add(store, moment=moment, scale=n): n for n, moment in enumerate(moments(2), 1)}
    versions = sorted(scales)
    store.publish(versions[0])
    done, faults, reads = threading.Event(), [], []

    def read() -> None:
        while not done.is_set():
            try:
                found = store.load_current()
                assert found is not None
                expected = weights(scales[found.version])
                np.testing.assert_array_equal(found.arrays["samagri.ease.weights"], expected)
                reads.append(found.version)
            except Exception as error:
                faults.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        store.publish(versions[number % 2])
    done.set()
    reader.join()
    assert not faults
    assert set(reads) == set(versions)
