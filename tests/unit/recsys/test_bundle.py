from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys import list as listing
from recsys import publish, rollback, verify
from recsys.artifact import ArtifactError, SmokeCase, load
from recsys.bundle import (
    HABITS,
    PANDITS,
    UNSERVED_IDS,
    Bundle,
    check_answers,
    habits_of,
    open_bundle,
    questions,
    records_of,
    write_bundle,
)
from recsys.models.als import Als
from recsys.models.base import Interactions, Saved
from recsys.models.rp3beta import Rp3Beta
from recsys.store import ModelStore
from tests.model_artifacts import a_manifest, forge_file
from tests.unit.recsys.bundles import N_ITEMS, a_bundle, names, put


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_bundle_answers_after_loading_as_before(store: ModelStore) -> None:
    before = a_bundle()
    version = put(store, before, "20260401T000000Z")
    artifact = store.load(version)
    check_answers(artifact)
    after = open_bundle(artifact)
    assert after.version == version
    for case in artifact.manifest.smoke:
        assert after.answer(case) == before.answer(case) == list(case.expected)
    np.testing.assert_array_equal(after.parts["extra"].arrays["weights"], [1.0, 2.0])
    assert after.parts["extra"].params == {"threshold": 0.6}
    assert after.documents == before.documents


def test_answers_need_no_names_of_customers(store: ModelStore) -> None:
    version = put(store, a_bundle(), "20260401T000000Z")
    artifact = store.load(version, without_ids=UNSERVED_IDS)
    assert "users" not in artifact.ids
    check_answers(artifact)
    assert {case.kind for case in artifact.manifest.smoke} == {"pandit", "samagri"}


def test_names_that_are_not_wanted_are_hashed_all_the_same(store: ModelStore) -> None:
    version = put(store, a_bundle(), "20260401T000000Z")
    path = store.folder(version) / "ids.users.jsonl.gz"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ArtifactError) as caught:
        store.load(version, without_ids=UNSERVED_IDS)
    assert caught.value.code == "hash"


def test_the_arrays_of_the_models_stay_mapped(store: ModelStore) -> None:
    artifact = store.load(put(store, a_bundle(), "20260401T000000Z"))
    model = open_bundle(artifact).models["pandit"]
    assert isinstance(model, Als)
    assert np.shares_memory(model.user_, artifact.arrays["pandit.als.user"])


def test_questions_cover_customers_and_pujas() -> None:
    asked = questions(a_bundle(), customers=4, pujas=2)
    assert [case.kind for case in asked] == ["pandit"] * 4 + ["samagri"] * 2
    assert all(case.expected for case in asked)


def test_a_context_leaves_out_what_is_unknown() -> None:
    bundle = a_bundle()
    assert bundle.context({"puja": "puja-01", "region": "hills", "month": 11}) == {
        "puja": 1,
        "month": 11,
    }
    assert bundle.context({"puja": "never-heard-of"}) == {}


@pytest.mark.parametrize(
    "case",
    [
        SmokeCase(kind="user_item", query={}, expected=()),
        SmokeCase(kind="samagri", query={"given": ["never-heard-of"]}, expected=()),
        SmokeCase(kind="pandit", query={"given": ["pandit-0", "nobody"]}, expected=()),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(case: SmokeCase) -> None:
    with pytest.raises(ArtifactError) as caught:
        a_bundle().answer(case)
    assert caught.value.code == "smoke"


def test_a_neighbour_outside_the_items_is_refused(store: ModelStore) -> None:
    random = np.random.default_rng(1)
    cells = Interactions(csr_array((random.random((30, N_ITEMS)) < 0.4).astype(np.float32)))
    bundle = Bundle("", a_bundle().ids, {"samagri": Rp3Beta().fit(cells)})
    folder = store.folder(put(store, bundle, "20260401T000000Z"))
    path = folder / "samagri.rp3beta.indices.npy"
    data = bytearray(path.read_bytes())
    data[-4:] = (N_ITEMS).to_bytes(4, "little")
    forge_file(folder, path.name, bytes(data))
    with pytest.raises(ArtifactError, match="points outside"):
        load(folder)


def test_models_of_another_size_than_their_ids_are_refused(store: ModelStore) -> None:
    whole = a_bundle()
    short = Bundle(
        "", {**whole.ids, "pujas": names("puja", 2)}, {"samagri": whole.models["samagri"]}
    )
    with store.staging() as writer:
        described = write_bundle(writer, short)
        writer.finish(a_manifest(models=described, smoke=()))
        artifact = load(writer.folder)
    with pytest.raises(ArtifactError, match="3 values of puja") as caught:
        open_bundle(artifact)
    assert caught.value.code == "ids"


@pytest.mark.parametrize(("part", "of"), [(HABITS, habits_of), (PANDITS, records_of)])
@pytest.mark.parametrize("kind", ["pujas", "pandits", "regions"])
def test_parts_without_the_ids_that_they_are_of_are_refused(
    part: str, of: Callable[[Bundle], object], kind: str
) -> None:
    whole = a_bundle()
    ids = {name: each for name, each in whole.ids.items() if name != kind}
    bundle = Bundle("", ids, {}, {part: Saved({}, {})})
    with pytest.raises(ArtifactError) as caught:
        of(bundle)
    assert caught.value.code in ("ids", "shape")


# --- the commands ---


def test_publish_list_verify_and_roll_back(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", str(store.root)]
    assert publish.main(where) == 5
    assert "there is no version" in capsys.readouterr().err
    first = put(store, a_bundle(0), "20260401T000000Z")
    second = put(store, a_bundle(1), "20260402T000000Z")
    assert publish.main([*where, first]) == 0
    assert publish.main(where) == 0
    assert store.current() == second
    assert listing.main([*where, "--history"]) == 0
    shown = capsys.readouterr().out
    assert f"* {second}" in shown
    assert f"  {first}" in shown
    assert verify.main([*where, "--all"]) == 0
    assert verify.main(where) == 0
    assert rollback.main([*where, "--reason", "worse"]) == 0
    assert store.current() == first
    assert rollback.main(where) == 5
    assert store.current() == first


def test_commands_refuse_what_is_damaged(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", str(store.root), "--json"]
    first = put(store, a_bundle(0), "20260401T000000Z")
    second = put(store, a_bundle(1), "20260402T000000Z")
    assert publish.main([*where, first]) == 0
    (store.folder(second) / "pandit.als.user.npy").write_bytes(b"x")
    capsys.readouterr()
    assert publish.main([*where, second]) == 5
    assert '"code":"size"' in capsys.readouterr().out.splitlines()[-1]
    assert verify.main([*where, "--all"]) == 5
    assert store.current() == first


def test_a_version_with_wrong_answers_is_not_published(store: ModelStore) -> None:
    wrong = (SmokeCase(kind="pandit", query={"user": "user-00"}, expected=("pandit-99",)),)
    version = put(store, a_bundle(), "20260401T000000Z", smoke=wrong)
    assert publish.main(["--store", str(store.root), version]) == 5
    assert store.current() is None


def test_force_wants_a_reason_and_tells_the_history(store: ModelStore) -> None:
    failed = ({"name": "coverage", "passed": False},)
    version = put(store, a_bundle(), "20260401T000000Z", gates=failed)
    where = ["--store", str(store.root), version]
    assert publish.main(where) == 5
    with pytest.raises(SystemExit) as caught:
        publish.main([*where, "--force"])
    assert caught.value.code == 2
    assert publish.main([*where, "--force", "--reason", "the first model"]) == 0
    (entry,) = store.history()
    assert entry.forced
    assert entry.reason == "the first model"


def test_a_rollback_to_what_failed_and_never_served_wants_force_and_a_reason(
    store: ModelStore,
) -> None:
    failed = ({"name": "coverage", "passed": False},)
    bad = put(store, a_bundle(0), "20260401T000000Z", gates=failed)
    good = put(store, a_bundle(1), "20260402T000000Z")
    assert publish.main(["--store", str(store.root), good]) == 0
    where = ["--store", str(store.root), "--to", bad]
    assert rollback.main(where) == 5
    with pytest.raises(SystemExit) as caught:
        rollback.main([*where, "--force"])
    assert caught.value.code == 2
    assert store.current() == good
    assert rollback.main([*where, "--force", "--reason", "the other one is worse"]) == 0
    assert store.history()[-1].forced
