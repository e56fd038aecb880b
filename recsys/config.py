"""The settings of training: one typed tree, from a TOML file, the environment and the command line.

Every key has a place in each. ``lam`` of ``[ease]`` is ``RECSYS_EASE__LAM=100,200`` in the
environment and ``--ease.lam 100,200`` on the command line; later places win over earlier ones. An
unknown key or a value out of range stops the run, all of them named at once. The resolved tree is
stored in the artifact.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

ENV_PREFIX: Final = "RECSYS_"
CONFIG_FILE: Final = Path("config/recsys.toml")
"""Read where it is there and no other is named."""

Task = Literal["samagri", "pandit", "puja"]
Kind = Literal["ease", "rp3beta", "item_knn", "association", "als"]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Above0 = Annotated[float, Meta(gt=0.0)]


class BadConfig(ValueError):
    """The settings are wrong; ``faults`` has one line for each mistake."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """``[run]``: the run as a whole."""

    seed: Annotated[Count, "one seed for all that is random"] = 7
    engine: Annotated[
        Literal["auto", "implicit", "numpy", "spark"],
        "what factorises: implicit, numpy, spark, or auto: implicit where installed, else numpy",
    ] = "auto"
    budget_s: Annotated[Above0, "seconds that the search for parameters may take in all"] = 300.0
    only: Annotated[tuple[Task, ...], "tasks to train"] = ("samagri", "pandit", "puja")
    report: Annotated[bool, "put a report that compares the models tried into the artifact"] = True


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """``[data]``: what may be trained on (gate 1)."""

    min_bookings: Annotated[Count, "fewer are not trained on"] = 500
    min_users: Annotated[Count, "fewer are not trained on"] = 50
    max_rejected: Annotated[Share, "share of the rows that may be unusable"] = 0.01
    max_age_hours: Annotated[Above0, "age that the newest event may have"] = 48.0


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """``[split]``: the temporal split, by bookings in the order of time."""

    blend_at: Annotated[
        Share, "share of the bookings before those that calibrate the blend; these end at test_at"
    ] = 0.6
    validation_at: Annotated[Share, "share of the bookings before the validation part"] = 0.8
    test_at: Annotated[Share, "share of the bookings before the test part"] = 0.9


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """``[search]``: how parameters are looked for."""

    k: Annotated[Positive, "length of the lists that are judged"] = 10
    patience: Annotated[Positive, "trials in a row without a gain after which a search ends"] = 6
    max_queries: Annotated[Positive, "validation queries a trial is judged by"] = 4000
    candidates: Annotated[tuple[Kind, ...], "models among which validation chooses for baskets"] = (
        "ease",
        "rp3beta",
        "item_knn",
        "association",
        "als",
    )
    puja_candidates: Annotated[tuple[Kind, ...], "the same for the next puja; rows are short"] = (
        "ease",
        "item_knn",
        "als",
    )


class Ease(msgspec.Struct, frozen=True, kw_only=True):
    """``[ease]``: EASE^R on baskets."""

    lam: Annotated[tuple[Above0, ...], "regularisation to try"] = (
        10.0,
        25.0,
        50.0,
        100.0,
        200.0,
        400.0,
    )
    context_weight: Annotated[tuple[float, ...], "weights of the context columns to try"] = (
        0.0,
        0.5,
        1.0,
        2.0,
        4.0,
    )


class Rp3(msgspec.Struct, frozen=True, kw_only=True):
    """``[rp3]``: RP3beta on baskets."""

    alpha: Annotated[tuple[Above0, ...], "exponents of the walk to try"] = (0.8, 1.0, 1.2)
    beta: Annotated[tuple[float, ...], "punishments of popularity to try"] = (0.2, 0.4, 0.6)


class Knn(msgspec.Struct, frozen=True, kw_only=True):
    """``[knn]``: neighbours of items."""

    shrink: Annotated[tuple[float, ...], "shrinkage to try"] = (10.0, 50.0, 200.0)


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """``[association]``: rules between pairs of items."""

    support: Annotated[tuple[Positive, ...], "bookings that a rule needs, to try"] = (2, 5, 10)


class Als(msgspec.Struct, frozen=True, kw_only=True):
    """``[als]``: factors for users and items, pandits and pujas."""

    factors: Annotated[tuple[Positive, ...], "to try"] = (16, 32, 64)
    regularization: Annotated[tuple[Above0, ...], "to try"] = (1.0, 10.0, 30.0)
    alpha: Annotated[tuple[Above0, ...], "weight of what was seen, to try"] = (1.0, 5.0, 20.0)
    iterations: Annotated[Positive, "of the final fit"] = 15
    search_iterations: Annotated[Positive, "of a trial"] = 8


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """``[gates]``: what a model has to hold to be published."""

    must_beat_baseline: Annotated[
        bool, "true: better than popularity beyond the interval; false: not worse beyond it"
    ] = True
    paired_loss: Annotated[Share, "NDCG that may be lost against the current model"] = 0.005
    min_coverage: Annotated[Share, "share of the active items seen in any list"] = 0.3
    min_exposure: Annotated[Share, "share of top-5 places that new pandits get in replay"] = 0.1
    slice_rows: Annotated[Positive, "rows from which a slice counts"] = 200
    slice_loss: Annotated[Share, "relative loss that a slice may have"] = 0.05
    max_ece: Annotated[Share, "expected calibration error"] = 0.05
    min_keep_rate: Annotated[Share, "share kept of what is shown"] = 0.55
    min_shown: Annotated[Positive, "suggestions from which the share kept counts"] = 30
    norm_factor: Annotated[Above0, "times that factor norms may differ from the current"] = 10.0
    min_jaccard: Annotated[Share, "overlap of top 10 with the current, median user"] = 0.3
    max_megabytes: Annotated[Above0, "size of the artifact"] = 1024.0
    max_load_s: Annotated[Above0, "to load and answer the smoke cases"] = 2.0
    max_p99_ms: Annotated[Above0, "of a top 10 in process"] = 10.0


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """``[store]``: where models go."""

    path: Annotated[str, "folder of the published models"] = "var/models"
    keep: Annotated[Positive, "newest versions that stay"] = 5


class Spark(msgspec.Struct, frozen=True, kw_only=True):
    """``[spark]``: the engine for data that outgrow a machine."""

    master: Annotated[str, "address of the cluster; local[2] is this machine"] = "local[2]"
    memory: Annotated[str, "of the driver"] = "2g"
    regularization: Annotated[
        tuple[Above0, ...], "to try; Spark multiplies it by the cells of a row"
    ] = (0.02, 0.1, 0.5)
    exchange: Annotated[
        str, "folder that driver and workers share; empty: a temporary one, for local masters"
    ] = ""
    blocks: Annotated[Positive, "blocks of users and of items"] = 4
    checkpoint: Annotated[str, "folder that cuts the lineage of long runs; empty: none"] = ""


class Tracking(msgspec.Struct, frozen=True, kw_only=True):
    """``[tracking]``: where runs are recorded."""

    backend: Annotated[
        Literal["auto", "mlflow", "json", "none"], "auto: MLflow where it is installed"
    ] = "json"
    path: Annotated[str, "folder of the records"] = "var/runs"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of training."""

    run: Run = Run()
    data: Data = Data()
    split: Split = Split()
    search: Search = Search()
    ease: Ease = Ease()
    rp3: Rp3 = Rp3()
    knn: Knn = Knn()
    association: Association = Association()
    als: Als = Als()
    gates: Gates = Gates()
    store: Store = Store()
    spark: Spark = Spark()
    tracking: Tracking = Tracking()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of the tree."""

    section: str
    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def flag(self) -> str:
        """Its flag, ``--section.some-name``."""
        return f"--{self.section}.{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Its name in the environment, ``RECSYS_SECTION__SOME_NAME``."""
        return f"{ENV_PREFIX}{self.section}__{self.name}".upper()


def all_keys() -> Iterator[Key]:
    """Every key, in the order of the tree."""
    for section in msgspec.structs.fields(Config):
        hints = get_type_hints(section.type, include_extras=True)
        for field in msgspec.structs.fields(section.type):
            hint = hints[field.name]
            meaning = next((part for part in get_args(hint)[1:] if isinstance(part, str)), "")
            yield Key(
                section=section.name,
                name=field.name,
                type=hint,
                default=field.default,
                meaning=meaning,
            )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser one flag for each key; those not used stay out of the namespace."""
    for key in all_keys():
        shown = ",".join(map(str, key.default)) if _is_list(key) else str(key.default)
        parser.add_argument(
            key.flag,
            dest=f"{key.section}.{key.name}",
            metavar=key.name.upper(),
            default=argparse.SUPPRESS,
            help=f"{key.meaning} ({key.variable}; default: {shown or 'none'})".replace("%", "%%"),
        )


def resolve(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
) -> Config:
    """Put the tree together.

    Parameters
    ----------
    path : Path or None
        The TOML file; None for defaults alone.
    environ : mapping
        Variables that begin with ``RECSYS_`` and have ``__`` in them are read, others are not.
    flags : mapping
        Values by ``section.name``, as `add_flags` leaves them in a namespace. Keys without a dot
        are not looked at.

    Raises
    ------
    BadConfig
        Naming every mistake.
    """
    faults: list[str] = []
    given = _file(path, faults) if path is not None else {}
    known = {f"{key.section}.{key.name}": key for key in all_keys()}
    variables = {key.variable: name for name, key in known.items()}
    for variable, value in sorted(environ.items()):
        if variable in variables:
            given[variables[variable]] = (variable, value)
        elif variable.startswith(ENV_PREFIX) and "__" in variable:
            faults.append(f"{variable}: there is no such setting")
    given |= {name: (known[name].flag, value) for name, value in flags.items() if "." in name}
    sections: dict[str, dict[str, Any]] = {}
    for name, (place, value) in given.items():
        if name not in known:
            faults.append(f"{place}: there is no such setting")
            continue
        key = known[name]
        try:
            parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
            plain = [part for part in parts if part != ""] if _is_list(key) else value
            converted = msgspec.convert(plain, key.type, strict=False)
        except (msgspec.ValidationError, TypeError) as error:
            faults.append(f"{place} = {value!r}: {error}")
            continue
        sections.setdefault(key.section, {})[key.name] = converted
    config = Config(
        **{
            section.name: section.type(**sections.get(section.name, {}))
            for section in msgspec.structs.fields(Config)
        }
    )
    faults += _faults_of_combinations(config)
    if faults:
        raise BadConfig(faults)
    return config


def as_dict(config: Config) -> dict[str, Any]:
    """The tree as plain values, for the manifest."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain


def _is_list(key: Key) -> bool:
    inner = get_args(key.type)[0]
    return get_origin(inner) is tuple


def _file(path: Path, faults: list[str]) -> dict[str, tuple[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig([f"{path}: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig([f"{path}: {error}"]) from error
    found: dict[str, tuple[str, Any]] = {}
    for section, values in content.items():
        if not isinstance(values, dict):
            faults.append(f"{path.name}: {section} is no section")
            continue
        for name, value in values.items():
            found[f"{section}.{name}"] = (f"{path.name}: [{section}] {name}", value)
    return found


def _faults_of_combinations(config: Config) -> Iterator[str]:
    if not config.split.validation_at < config.split.test_at < 1:
        yield "split: validation_at has to be below test_at, and that below 1"
    if not 0 < config.split.blend_at < config.split.test_at:
        yield "split: blend_at has to be above 0 and below test_at"
    for key in all_keys():
        if _is_list(key) and not getattr(getattr(config, key.section), key.name):
            yield f"{key.section}.{key.name}: names nothing to try"
