"""The arguments with which verbs name a stored model, and the loading of that model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ccompress import cores
from ccompress.commands.arguments import Arguments, add_runs_dir, run_ids
from ccompress.config.settings import check_device
from ccompress.deployment import finding

if TYPE_CHECKING:
    from ccompress.deployment.classifier import Classifier


def add_run(parser: Arguments) -> None:
    """Add the arguments that name a stored model."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run: its folder, the first letters of its id, or a model.safetensors",
    )
    parser.completes("run", run_ids)
    add_runs_dir(parser)
    parser.add_argument(
        "--trust",
        metavar="PACKAGE",
        action="append",
        default=[],
        help="a package outside ccompress that the model may use, for example that of your own "
        "network or tokenizer; may be given several times",
    )


def add_delimiter(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says how a table of texts is written."""
    parser.add_argument(
        "--delimiter",
        metavar="CHARACTER",
        help="what parts the columns of a .csv or .tsv (default: recognised)",
    )


def add_device(parser: Arguments) -> None:
    """Add the argument for the device of a model."""
    parser.add_argument(
        "--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda, cuda:N"
    )
    parser.completes("device", lambda _: ("auto", "cpu", "cuda"))


def open_run(given: argparse.Namespace, device: str) -> tuple[Path, "Classifier"]:
    """The file of the model that the arguments of `add_run` name, and the model."""
    # The import of torch takes seconds, and --help does not need it.
    import torch

    from ccompress.deployment import model
    from ccompress.machine import choose_device, use_device

    check_device(device)
    torch.set_num_threads(cores.threads())
    path = finding.file_of(given.run, given.runs_dir)
    where = choose_device(device)
    use_device(where, precision="float32")
    return path, model.load(path, where, given.trust)
