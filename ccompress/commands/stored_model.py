"""The arguments by which verbs name a stored model, and the model that they name."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ccompress import cores
from ccompress.config.settings import check_device

if TYPE_CHECKING:
    from ccompress.deployment.model import Model


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a stored model."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's folder, the first letters of its id, or a model.safetensors",
    )
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("results/runs"),
        help="where ids are looked for (default: %(default)s)",
    )
    parser.add_argument(
        "--trust",
        metavar="PACKAGE",
        action="append",
        default=[],
        help="a package, not ccompress's, that the model may use, such as that of a network or a "
        "tokenizer of your own; may be given several times",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where a model works."""
    parser.add_argument(
        "--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda, cuda:N"
    )


def open_run(given: argparse.Namespace, device: str) -> tuple[Path, "Model"]:
    """The model that the arguments of `add_run` name: its file, and itself."""
    # torch takes seconds to import, which --help does without
    import torch

    from ccompress.deployment import model
    from ccompress.machine import choose_device, use_device

    check_device(device)
    torch.set_num_threads(cores.threads())
    path = model.file_of(given.run, given.runs_dir)
    where = choose_device(device)
    use_device(where, precision="float32")
    return path, model.load(path, where, given.trust)
