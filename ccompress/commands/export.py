"""`ccompress export`: write the small model for programs without ccompress."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ccompress import storage
from ccompress.commands.arguments import Arguments
from ccompress.commands.stored_model import add_run, open_run
from ccompress.errors import InputError
from ccompress.experiment.results import size

if TYPE_CHECKING:
    from ccompress.deployment.model import Model

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2"}  # of single files


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "export",
        "Writes the small model of a run for ONNX Runtime (a folder with the tokenizer and a "
        "program that needs only onnxruntime and tokenizers), or for torch without ccompress (a "
        "file).",
    )
    add_run(parser)
    parser.add_argument("--format", choices=SUFFIXES, required=True, help="what to write")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="where to write; onnx: a folder (default: onnx/ beside the model), or FILE.onnx for "
        "that alone, its words and labels beside it as JSON; torch_export: FILE.pt2 (default: "
        "beside the model)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write the exported model and what belongs to it, and say where."""
    given = parser().read(arguments)
    # torch takes seconds to import, which --help does without
    from ccompress.deployment import tokenizer_json
    from ccompress.deployment.model import Model

    suffix = SUFFIXES[given.format]
    in_folder = given.format == "onnx" and (given.out is None or given.out.suffix != suffix)
    if in_folder and given.out and given.out.is_file():
        raise InputError(f"--out {given.out} is a file: give a folder, or FILE.onnx")
    if not in_folder and given.out and given.out.suffix != suffix:
        raise InputError(f"--out {given.out}: give a file whose name ends in {suffix}")
    path, small = open_run(given, "cpu")
    if not isinstance(small, Model):
        raise InputError(f"{path} holds {small.kind}: only networks are exported")
    if in_folder and given.out is None and not tokenizer_json.can_hold(small.tokenizer):
        print(f"no folder: tokenizer.json cannot hold {small.tokenizer}, a function of your own")
        in_folder = False
    out = given.out or (path.with_name("onnx") if in_folder else path.with_suffix(suffix))
    try:
        print(_folder(small, path, out) if in_folder else _file(small, path, out, given.format))
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error
    return 0


def _folder(small: "Model", path: Path, out: Path) -> str:
    """Write the folder of ONNX; what there is to say of it."""
    from ccompress.deployment.export import write_onnx_folder

    write_onnx_folder(small, out)
    ngrams = "; predict.py adds the n-grams of a text to its words" if small.ngrams > 1 else ""
    return (
        f"written: {out}: model.onnx ({_sizes(path, out / 'model.onnx')}), tokenizer.json, "
        f"labels.json, predict.py{ngrams}\n"
        f"with onnxruntime and tokenizers alone: python {out / 'predict.py'} < texts.txt"
    )


def _file(small: "Model", path: Path, out: Path, form: str) -> str:
    """Write a single file, its words and labels beside it; what there is to say of it."""
    from ccompress.deployment.export import WRITERS, described

    with storage.replacing(out) as temporary:
        WRITERS[form](small, temporary)
    words = out.with_suffix(".json")
    storage.write_text(words, json.dumps(described(small), ensure_ascii=False, indent=1))
    return f"written: {out}, {_sizes(path, out)}; its words and labels: {words}"


def _sizes(path: Path, out: Path) -> str:
    """The sizes of an exported program and of the model file that it was made from."""
    return f"{size(out.stat().st_size)}, {path.name} {size(path.stat().st_size)}"
