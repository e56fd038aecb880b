"""Fetch the browser's third-party files into ``server/web/static/vendor`` (for maintainers).

Run ``python tools/vendor.py`` after changing a version or a file list below. Nobody else needs
it: what it writes is committed, so neither an installation nor a build talks to a registry.

Each package is fetched with ``npm pack`` at exactly the stated version. Files are copied with
three changes: bare module names become relative ones (a strict content policy leaves no room for
an import map), references to source maps are dropped (the maps are not shipped), and the large
documentation bundle is stored compressed only. Chosen icons become one sprite of ``<symbol>``.
``VENDOR.toml`` lists every file with its origin, licence and SHA-256; the licence texts go to
``LICENSES/``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fontTools.merge import Merger
from fontTools.ttLib import TTFont

VENDOR_DIR = Path(__file__).resolve().parent.parent / "server" / "web" / "static" / "vendor"

SOURCE_MAP = re.compile(
    r"\s*(?://[#@]\s*sourceMappingURL=[^\n]*|/\*[#@]\s*sourceMappingURL=.*?\*/)", re.S
)
MODULE_NAME = re.compile(r"""(\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'.][^"']*)\2""")

# Where a bare module name of the lit family lives below ``vendor/lit``.
LIT_MODULES = {
    "@lit/reactive-element": "reactive-element.js",
    "lit-html": "lit-html.js",
    "lit-html/is-server.js": "is-server.js",
    "lit-element/lit-element.js": "lit-element.js",
}

ICONS = (
    "arrow-left arrow-right badge-check banknote bell book-open briefcase calendar-check "
    "calendar-clock calendar-days calendar-plus calendar-x chart-column check check-check "
    "chevron-down chevron-left chevron-right circle-alert circle-check circle-play circle-x clock "
    "download ellipsis eye eye-off file-text flag flame flower-2 graduation-cap hand-coins heart "
    "history house image inbox info landmark languages link list-checks locate-fixed lock log-in "
    "log-out mail map map-pin menu message-circle minus moon moon-star navigation orbit package "
    "paperclip pencil phone play plus printer qr-code receipt refresh-cw repeat scale scroll-text "
    "search send settings share-2 shield-check shopping-basket sliders-horizontal sparkles star "
    "sun sunrise sunset trash-2 triangle-alert undo-2 upload user-round users video wallet "
    "wifi-off x"
)

Change = Callable[[bytes, PurePosixPath], bytes]


@dataclass(frozen=True)
class Copy:
    """One file of a package and where it goes below the vendor folder."""

    source: str
    target: str
    change: Change | None = None

    def apply(self, data: bytes) -> bytes:
        """Return what is stored for the package's ``data``."""
        return self.change(data, PurePosixPath(self.target)) if self.change else data


@dataclass(frozen=True)
class Package:
    """One npm package at one version.

    ``icons`` names the files that become symbols of the sprite instead of being copied;
    ``print_weights`` the weights of a font of which a joined form for documents is made.
    """

    name: str
    version: str
    licence: str
    licence_files: tuple[str, ...]
    copies: tuple[Copy, ...] = ()
    icons: tuple[str, ...] = ()
    print_weights: tuple[int, ...] = ()

    @property
    def slug(self) -> str:
        """The package's name as a file name: ``@lit/reactive-element`` gives ``lit-reactive-…``."""
        return self.name.removeprefix("@").replace("/", "-")


def text_module(data: bytes, target: PurePosixPath) -> bytes:
    """Rewrite a module's bare imports to relative ones and drop its source-map reference."""

    def relative(match: re.Match[str]) -> str:
        name = match[3]
        if name not in LIT_MODULES:
            raise ValueError(f"{target}: no vendored file for the module {name!r}")
        up = "../" * (len(target.parts) - 2) or "./"
        return f"{match[1]}{match[2]}{up}{LIT_MODULES[name]}{match[2]}"

    text = SOURCE_MAP.sub("", data.decode("utf-8"))
    return (MODULE_NAME.sub(relative, text).rstrip() + "\n").encode()


def plain_text(data: bytes, _target: PurePosixPath) -> bytes:
    """Drop the source-map reference of a script or style sheet that imports nothing."""
    return (SOURCE_MAP.sub("", data.decode("utf-8")).rstrip() + "\n").encode()


def compressed(data: bytes, target: PurePosixPath) -> bytes:
    """Return the gzip form with no time stamp in it, so that equal input gives equal output."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as stream:
        stream.write(plain_text(data, target))
    return out.getvalue()


def printable(files: dict[str, bytes], weight: int) -> bytes:
    """Join the subsets of one weight into a TrueType font with both scripts, for documents.

    The web takes the scripts apart to load less; a document embeds one font that has both.
    """
    with tempfile.TemporaryDirectory() as temporary:
        parts = []
        for subset in ("devanagari", "latin"):
            # The older of the two web formats is unpacked by the standard library alone.
            name = f"noto-sans-devanagari-{subset}-{weight}-normal.woff"
            font = TTFont(io.BytesIO(files[f"files/{name}"]))
            font.flavor = None
            parts.append(f"{temporary}/{subset}.ttf")
            font.save(parts[-1])
        joined = Merger().merge(parts)
        # The moment of the joining is no part of the font: equal input gives equal output.
        joined["head"].modified = joined["head"].created
        joined.recalcTimestamp = False
        out = io.BytesIO()
        joined.save(out)
    return out.getvalue()


PACKAGES = (
    Package(
        "lit",
        "3.3.3",
        "BSD-3-Clause",
        ("LICENSE",),
        (Copy("index.js", "lit/lit.js", text_module),),
    ),
    Package(
        "lit-html",
        "3.3.3",
        "BSD-3-Clause",
        ("LICENSE",),
        tuple(
            Copy(name, f"lit/{name}", text_module)
            for name in (
                "lit-html.js",
                "is-server.js",
                "directive.js",
                "directive-helpers.js",
                "directives/repeat.js",
                "directives/live.js",
                "directives/class-map.js",
            )
        ),
    ),
    Package(
        "lit-element",
        "4.2.2",
        "BSD-3-Clause",
        ("LICENSE",),
        (Copy("lit-element.js", "lit/lit-element.js", text_module),),
    ),
    Package(
        "@lit/reactive-element",
        "2.1.2",
        "BSD-3-Clause",
        ("LICENSE",),
        (
            Copy("reactive-element.js", "lit/reactive-element.js", text_module),
            Copy("css-tag.js", "lit/css-tag.js", text_module),
        ),
    ),
    Package(
        "@picocss/pico",
        "2.1.1",
        "MIT",
        ("LICENSE.md",),
        (Copy("css/pico.min.css", "pico.min.css", plain_text),),
    ),
    Package(
        "@fontsource/noto-sans-devanagari",
        "5.3.0",
        "OFL-1.1",
        ("LICENSE",),
        tuple(
            Copy(
                f"files/noto-sans-devanagari-devanagari-{weight}-normal.woff2",
                f"fonts/noto-sans-devanagari-{weight}.woff2",
            )
            for weight in (400, 700)
        ),
        print_weights=(400, 700),
    ),
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        ("LICENSE",),
        (
            Copy("dist/uPlot.esm.js", "uplot/uplot.js", plain_text),
            Copy("dist/uPlot.min.css", "uplot/uplot.css", plain_text),
        ),
    ),
    Package("lucide-static", "1.62.0", "ISC", ("LICENSE",), icons=tuple(ICONS.split())),
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "Apache-2.0",
        ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"),
        (
            Copy("swagger-ui-bundle.js", "swagger/swagger-ui-bundle.js.gz", compressed),
            Copy("swagger-ui.css", "swagger/swagger-ui.css", plain_text),
        ),
    ),
)


def fetch(package: Package, folder: Path) -> dict[str, bytes]:
    """Return the files of ``package`` by their path inside it.

    Raises
    ------
    subprocess.CalledProcessError
        When npm cannot fetch the package.
    ValueError
        When the fetched package does not say the expected name, version and licence.
    """
    done = subprocess.run(
        ["npm", "pack", "--silent", "--json", f"{package.name}@{package.version}"],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
    )
    name = json.loads(done.stdout)[0]["filename"]
    files: dict[str, bytes] = {}
    with tarfile.open(folder / name) as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                files[member.name.partition("/")[2]] = stream.read()
    stated = json.loads(files["package.json"])
    expected = (package.name, package.version, package.licence)
    if (stated["name"], stated["version"], stated["license"]) != expected:
        raise ValueError(f"{package.name}: package.json does not say {expected}")
    return files


def sprite(files: dict[str, bytes], names: tuple[str, ...]) -> bytes:
    """Return one SVG in which every icon of ``names`` is a ``<symbol>`` with that id."""
    symbols = []
    for name in sorted(names):
        # A file of a package whose version is fixed above, not input of strangers.
        icon = ET.fromstring(files[f"icons/{name}.svg"].decode("utf-8"))  # noqa: S314
        shapes = []
        for shape in icon:
            tag = shape.tag.rpartition("}")[2]
            attributes = "".join(f' {key}="{value}"' for key, value in shape.attrib.items())
            shapes.append(f"<{tag}{attributes}/>")
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{"".join(shapes)}</symbol>')
    body = "\n".join(symbols)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>\n'.encode()


def write_record(rows: list[dict[str, str]], path: Path) -> None:
    """Write ``VENDOR.toml``: one ``[[file]]`` table for each row."""
    lines = ["# Written by tools/vendor.py. Do not edit."]
    for row in sorted(rows, key=lambda row: row["target"]):
        lines.append("\n[[file]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in row.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def vendor(target: Path) -> list[dict[str, str]]:
    """Replace ``target`` by freshly fetched files and return the rows of its record."""
    rows: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "vendor"
        (built / "LICENSES").mkdir(parents=True)
        for package in PACKAGES:
            files = fetch(package, Path(temporary))
            outputs = [
                (copy.source, copy.target, copy.apply(files[copy.source]))
                for copy in package.copies
            ]
            if package.icons:
                outputs.append(("icons/*.svg", "icons.svg", sprite(files, package.icons)))
            outputs += [
                (
                    f"files/*-{weight}-normal.woff",
                    f"fonts/noto-sans-devanagari-print-{weight}.ttf",
                    printable(files, weight),
                )
                for weight in package.print_weights
            ]
            for source, name, data in outputs:
                path = built / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                rows.append(
                    {
                        "package": package.name,
                        "version": package.version,
                        "licence": package.licence,
                        "licence_file": f"LICENSES/{package.slug}.txt",
                        "source": source,
                        "target": name,
                        "sha256": hashlib.sha256(data).hexdigest(),
                    }
                )
            texts = [files[name].decode("utf-8").rstrip() for name in package.licence_files]
            licence_path = built / "LICENSES" / f"{package.slug}.txt"
            licence_path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
        write_record(rows, built / "VENDOR.toml")
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(built, target)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Fetch everything and print one line for each file."""
    parser = argparse.ArgumentParser(description="Fetch the browser's third-party files.")
    parser.add_argument("--target", type=Path, default=VENDOR_DIR, help="folder to replace")
    options = parser.parse_args(arguments)
    for row in vendor(options.target):
        size = (options.target / row["target"]).stat().st_size
        print(f"{size:>9}  {row['target']}  ({row['package']} {row['version']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
