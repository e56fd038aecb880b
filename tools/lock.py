"""Resolve the dependencies of setup.cfg into the two lock files, with hashes (needs ``uv``).

``requirements.lock`` holds what the server and the demo run on; ``requirements-test.lock`` all of
that, in the same versions, plus what the tests, the benchmarks and the training of every
recommender need. Both are universal: one file for every supported Python and machine. Versions
already locked stay unless ``--upgrade`` is given. ``requirements-uv.lock`` is the ``uv`` with which
they are installed where there is none.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.lock": ("demo", "build"),
    "requirements-test.lock": ("demo", "build", "test", "bench", "train"),
}
UV_LOCK, UV = "requirements-uv.lock", "uv>=0.13,<0.14"
HEADER = "# Made by `make lock` from setup.cfg. Do not edit.\n"
# A lock that names an index, a folder or an address would tie every machine to the one it was made
# on.
FOREIGN = re.compile(r"^\s*-|://|^\s*/|@\s*file:", re.MULTILINE)


def compile_lock(name: str, wanted: list[str], *, upgrade: bool, said: str = "") -> None:
    """Write the lock file ``name`` for what the arguments, or the text on standard input, want."""
    command = ["uv", "pip", "compile", *wanted, "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "-o", name]
    if upgrade:
        command.append("--upgrade")
    subprocess.run(command, cwd=ROOT, check=True, input=said, text=True)
    text = (ROOT / name).read_text(encoding="utf-8")
    without_hashes = re.sub(r"^\s+--hash=\S+( \\)?$", "", text, flags=re.MULTILINE)
    if FOREIGN.search(without_hashes):
        sys.exit(f"{name} names an index, a folder or an address, not only versions")
    (ROOT / name).write_text(HEADER + text, encoding="utf-8")


def main() -> None:
    """Remake both lock files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest allowed versions")
    upgrade = parser.parse_args().upgrade
    for name, extras in LOCKS.items():
        wanted = ["setup.cfg", *(part for extra in extras for part in ("--extra", extra))]
        if name != "requirements.lock":
            wanted += ["--constraints", "requirements.lock"]
        compile_lock(name, wanted, upgrade=upgrade)
    compile_lock(UV_LOCK, ["-"], upgrade=upgrade, said=UV)
    for name in (*LOCKS, UV_LOCK):
        count = sum("==" in line for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
        print(f"{name}: {count} packages")


if __name__ == "__main__":
    main()
