"""`ccompress export`: the small model for programs that have no ccompress."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ccompress import storage
from ccompress.commands.stored_model import add_run, open_run
from ccompress.deployment.export import FORMATS, described
from ccompress.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Write the exported model and what belongs to it, and say where."""
    parser = argparse.ArgumentParser(
        prog="ccompress export",
        description="The small model as one file for ONNX Runtime or for torch without ccompress.",
    )
    add_run(parser)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: beside the model, ending in "
        + ", ".join(f"{end} ({name})" for name, (end, _) in FORMATS.items()),
    )
    given = parser.parse_args(arguments)
    suffix, write = FORMATS[given.format]
    if given.out and given.out.suffix != suffix:
        raise InputError(f"--out {given.out}: give a file whose name ends in {suffix}")
    path, small = open_run(given, "cpu")
    out = given.out or path.with_suffix(suffix)
    words = out.with_suffix(".json")
    try:
        with storage.replacing(out) as temporary:
            write(small, temporary)
        storage.write_text(words, json.dumps(described(small), ensure_ascii=False, indent=1))
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give --out FILE") from error
    print(f"written: {out}, {out.stat().st_size / 1e6:.2f} MB; its words and labels: {words}")
    return 0
