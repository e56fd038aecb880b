"""Make the virtual environment that everything else runs in, from a lock with hashes.

Standard library only, and readable by any Python 3.7 or newer, so that it can say what is missing.
It finds a Python of at least 3.11, makes the environment (``$VENV``, default ``.venv``), installs
the lock with ``uv``, which pip fetches into the environment where it is not on the path, or with
``pip`` where it cannot be had, installs the project itself as editable, and compiles the gettext
catalogues. A stamp written last records what was
installed, so that a second run does nothing and an interrupted one starts over.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
UV_LOCK = "requirements-uv.lock"
LOCKS = {"run": "requirements.lock", "test": "requirements-test.lock"}
STAMP = "pandityatra-stamp.json"
ASK_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


class BootstrapError(Exception):
    """A step failed in a way that the person at the terminal has to resolve."""


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print a line with the time that the step took, once it is done."""
    started = time.monotonic()
    yield
    say(f"  {title} ({time.monotonic() - started:.1f} s)")


def run(command: list[str], *, env: dict[str, str] | None = None) -> None:
    """Run a program from the project's root; its output is shown only if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        output = done.stdout.decode("utf-8", "replace").strip()
        tail = "\n".join(output.splitlines()[-25:])
        raise BootstrapError(f"{' '.join(command)}\nended with {done.returncode}:\n{tail}")


def version_of(python: str) -> tuple[int, ...] | None:
    """Return the version of an interpreter, or ``None`` if it does not start."""
    try:
        answer = subprocess.run(
            [python, "-c", ASK_VERSION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        return tuple(int(part) for part in answer.stdout.decode().split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def find_python() -> tuple[str, tuple[int, ...]]:
    """Return the first interpreter that is new enough: the running one, then those on the path."""
    if sys.version_info[:2] >= MINIMUM:
        return sys.executable, tuple(sys.version_info[:3])
    for name in ("python3.11", "python3.12", "python3.13", "python3.14", "python3", "python"):
        path = shutil.which(name)
        version = version_of(path) if path else None
        if path and version and version[:2] >= MINIMUM:
            return path, version
    raise BootstrapError(
        "Python {}.{} or newer is needed, and none is on the path (this is {}.{}).\n"
        "Install one (Debian: apt-get install python3.11-venv) and run this again.".format(
            *MINIMUM, *sys.version_info[:2]
        )
    )


def find_uv() -> str | None:
    """Return ``uv`` if it is on the path and starts."""
    path = shutil.which("uv")
    if not path or os.environ.get("BOOTSTRAP_WITHOUT_UV"):
        return None
    try:
        subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return path


def uv_environment() -> dict[str, str]:
    """Return the environment for ``uv``, with the index that pip was told of."""
    env = dict(os.environ)
    index = env.get("PIP_INDEX_URL")
    if index and not ({"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & env.keys()):
        env["UV_DEFAULT_INDEX"] = index
    authorities = env.get("PIP_CERT")
    if authorities:
        env.setdefault("SSL_CERT_FILE", authorities)
    env.setdefault("UV_HTTP_TIMEOUT", "180")
    return env


def fingerprint(lock: str, version: tuple[int, ...]) -> str:
    """Return a hash of all that decides what gets installed."""
    digest = hashlib.sha256(repr((version, str(ROOT))).encode())
    for name in (lock, "setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_current(venv: Path, extra: str, version: tuple[int, ...]) -> bool:
    """Say whether the environment already holds what is asked; the test one holds the other too."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = (extra,) if extra == "test" else ("run", "test")
    current = any(stamp.get(kind) == fingerprint(LOCKS[kind], version) for kind in wanted)
    return current and version_of(str(venv / "bin" / "python")) == version


def has_pip(venv: Path) -> bool:
    """Say whether the environment's own pip starts."""
    python = venv / "bin" / "python"
    if not python.exists():
        return False
    asked = subprocess.run(
        [str(python), "-m", "pip", "--version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def make_venv(venv: Path, python: str, uv: str | None) -> None:
    """Make the environment anew."""
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and any(venv.iterdir()):
        raise BootstrapError(f"{venv} exists and is no virtual environment; move it away")
    shutil.rmtree(venv, ignore_errors=True)
    if uv:
        run([uv, "venv", "--quiet", "--python", python, str(venv)], env=uv_environment())
        return
    try:
        run([python, "-m", "venv", str(venv)])
    except BootstrapError as error:
        shutil.rmtree(venv, ignore_errors=True)
        raise BootstrapError(
            f"{error}\nPython's venv module does not work (Debian: apt-get install python3-venv)."
        ) from None


def pip_of(venv: Path) -> list[str]:
    """Return how the environment's own pip is asked to install something."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    pip += ["install", "--quiet", "--no-input"]
    if os.geteuid() == 0:
        pip.append("--root-user-action=ignore")
    return pip


def is_told_more_than_uv(venv: Path) -> bool:
    """Say whether a file tells pip where to get things from: ``uv`` does not read it."""
    asked = subprocess.run(
        [str(venv / "bin" / "python"), "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    keys = [line.partition("=")[0] for line in asked.stdout.decode("utf-8", "replace").splitlines()]
    return any(key.endswith(("index-url", "index", "proxy")) and key[:5] != ":env:" for key in keys)


def fetch_uv(venv: Path) -> str | None:
    """Return ``uv`` in the environment, put there by pip, or ``None`` if it cannot be had."""
    if os.environ.get("BOOTSTRAP_WITHOUT_UV") or is_told_more_than_uv(venv):
        return None
    try:
        with step("uv fetched by pip, hashes checked"):
            wheel_only = ["--no-deps", "--only-binary", ":all:"]
            run([*pip_of(venv), *wheel_only, "--require-hashes", "-r", UV_LOCK])
    except BootstrapError:
        return None
    return str(venv / "bin" / "uv")


def install_with_uv(uv: str, venv: Path, lock: str) -> None:
    """Install the lock and the project with ``uv``."""
    env = uv_environment()
    python = ["--python", str(venv / "bin" / "python")]
    with step(f"{lock} installed by uv, hashes checked"):
        run([uv, "pip", "install", "--quiet", *python, "--require-hashes", "-r", lock], env=env)
    with step("pandityatra installed as editable"):
        local = ["--no-deps", "--no-build-isolation", "--offline", "-e", "."]
        run([uv, "pip", "install", "--quiet", *python, *local], env=env)


def install_with_pip(venv: Path, lock: str) -> None:
    """Install the lock and the project with the environment's own pip."""
    pip = pip_of(venv)
    say("  uv cannot be had: installing with pip, which takes a minute or two")
    with step(f"{lock} installed by pip, hashes checked"):
        run([*pip, "--require-hashes", "--no-deps", "-r", lock])
    with step("pandityatra installed as editable"):
        run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", "."])


def install(venv: Path, python: str, lock: str) -> None:
    """Bring the environment to what the lock says, remaking it where it cannot be used."""
    uv = find_uv()
    version = version_of(python)
    usable = version_of(str(venv / "bin" / "python")) == version and (uv or has_pip(venv))
    if not usable:
        with step(f"virtual environment {venv} made"):
            make_venv(venv, python, uv)
    (venv / STAMP).unlink(missing_ok=True)
    uv = uv or fetch_uv(venv)
    if uv:
        try:
            install_with_uv(uv, venv, lock)
        except BootstrapError as error:
            say(f"  uv could not install: {error}\n  trying again with pip")
        else:
            return
        if not has_pip(venv):
            make_venv(venv, python, None)
    install_with_pip(venv, lock)


def compile_catalogues(venv: Path) -> None:
    """Compile each gettext catalogue that is newer than its compiled form."""
    for source in sorted((ROOT / "locale").glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        language = source.parent.parent.name
        partial = source.with_suffix(".mo.partial")
        with step(f"texts of '{language}' compiled"):
            pybabel = [str(venv / "bin" / "python"), "-m", "babel.messages.frontend", "-q"]
            run([*pybabel, "compile", "-i", str(source), "-o", str(partial), "-l", language])
            partial.replace(target)


def bootstrap(extra: str) -> None:
    """Do all steps that are still to be done."""
    python, version = find_python()
    venv = Path(os.path.abspath(ROOT / os.environ.get("VENV", ".venv")))
    if not is_current(venv, extra, version):
        started = time.monotonic()
        say(f"Setting up with Python {'.'.join(map(str, version))} ({python})")
        install(venv, python, LOCKS[extra])
        compile_catalogues(venv)
        stamp = json.dumps({extra: fingerprint(LOCKS[extra], version)})
        partial = venv / (STAMP + ".partial")
        partial.write_text(stamp, encoding="utf-8")
        partial.replace(venv / STAMP)
        say(f"Ready in {time.monotonic() - started:.1f} s")
    else:
        compile_catalogues(venv)


def main() -> None:
    """Read the arguments; end with one clear message if a step fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", choices=sorted(LOCKS), default="run", help="what to install")
    try:
        bootstrap(parser.parse_args().extra)
    except BootstrapError as error:
        sys.exit(f"Set-up failed.\n{error}")
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; the next run starts over.")


if __name__ == "__main__":
    main()
