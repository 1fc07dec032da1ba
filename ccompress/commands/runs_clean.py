"""`ccompress runs clean`: delete shared files, which a run makes again if it needs them."""

from collections.abc import Sequence
from pathlib import Path

from ccompress.commands.arguments import RUNS_DIR, Arguments
from ccompress.data.base import vectors_cache
from ccompress.errors import InputError
from ccompress.experiment.leftovers import KINDS, Amount, clean
from ccompress.experiment.results import size

VECTORS = "word vectors"


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments(
        "runs clean",
        "Deletes shared and unfinished trainings, prepared data and locks, which are made again if "
        "a run needs them. It never deletes runs, or files that a process uses now.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=RUNS_DIR,
        metavar="FOLDER",
        help="a folder of runs (default: %(default)s)",
    )
    parser.add_argument(
        "--delete", action="store_true", help="delete them (default: only show their sizes)"
    )
    parser.add_argument(
        "--vectors",
        action="store_true",
        help="include the user's cache of word vectors, which all folders of runs share",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print what can be deleted from a folder of runs, and delete it with --delete."""
    given = parser().read(arguments)
    if not given.folder.is_dir():
        raise InputError(f"{given.folder} is not a folder of runs")
    free, in_use = Amount(), Amount()
    folders = {given.folder / name: what for name, what in KINDS.items()}
    if given.vectors:
        folders[vectors_cache()] = VECTORS
    for folder, what in folders.items():
        leftovers = clean(folder, delete=given.delete)
        print(f"{what:<16}  {folder}  {_shown(leftovers.free)}")
        for total, amount in ((free, leftovers.free), (in_use, leftovers.in_use)):
            total.files += amount.files
            total.bytes += amount.bytes
    if not given.vectors:
        shared = clean(vectors_cache(), delete=False).free
        print(f"{VECTORS:<16}  {vectors_cache()}  {_shown(shared)}, not counted without --vectors")
    if in_use.files:
        print(f"kept, because a process uses it now: {_shown(in_use)}")
    done = "deleted" if given.delete else "not deleted: --delete deletes"
    print(f"{done} {_shown(free)}")
    return 0


def _shown(amount: Amount) -> str:
    return f"{amount.files} file{'s' * (amount.files != 1)}, {size(amount.bytes)}"
