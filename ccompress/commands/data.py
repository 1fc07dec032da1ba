"""`ccompress data`: what data there are, fetching them, checking them."""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import ccompress.data
from ccompress.config import files
from ccompress.data.base import default_root
from ccompress.data.downloads.fetch import fetch
from ccompress.data.downloads.source import Source
from ccompress.errors import InputError, MissingData, nearest


def sources() -> dict[str, Source]:
    """Every data set and set of word vectors that says where it comes from, by name."""
    modules = (
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(ccompress.data.__path__, "ccompress.data.")
    )
    declared = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return {source.name: source for source in sorted(declared, key=lambda source: source.name)}


def main(argv: Sequence[str]) -> int:
    """Run `ccompress data` with its arguments and return the exit code.

    Raises:
        InputError: A name is unknown, or what it names is not there or cannot be fetched.
    """
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument(
        "--root",
        type=Path,
        default=default_root(),
        help="the data root (default: CCOMPRESS_DATA, else the user's cache folder; now"
        " %(default)s)",
    )
    parser = argparse.ArgumentParser(
        prog="ccompress data", description="Data sets and word vectors in the data root."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", parents=[root], help="what there is, its size, source and licence")
    names = verbs.add_parser("fetch", parents=[root], help="download from upstream and verify")
    names.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a data set, vectors, or an experiment: then what it reads and is not there",
    )
    names = verbs.add_parser("check", parents=[root], help="verify the SHA-256 of what is there")
    names.add_argument("names", nargs="*", metavar="NAME", help="(default: all that is there)")
    arguments = parser.parse_args(argv)
    if arguments.verb == "list":
        return _list(arguments.root)
    if arguments.verb == "fetch":
        experiments = files.options("experiment")
        others = [name for name in arguments.names if name not in experiments]
        _fetch(_named(others, experiments), arguments.root)
        for name in arguments.names:
            if name in experiments:
                _fetch_for_experiment(name, arguments.root)
        return 0
    return _check(_named(arguments.names), arguments.root)


def _named(names: Sequence[str], others: Sequence[str] = ()) -> list[Source]:
    """The sources of these names; the error for an unknown one lists `others` too."""
    known = sources()
    for name in names:
        if name not in known:
            listed = [*known, *others]
            raise InputError(
                f"unknown data {name!r}{nearest(name, listed)}; known are {', '.join(listed)}"
            )
    return [known[name] for name in names]


def _list(root: Path) -> int:
    print(f"data root: {root}")
    for source in sources().values():
        download = f", download {source.megabytes:,} MB" if source.files else ""
        sizes = ""
        if source.sizes:
            train, dev, test, classes = source.sizes
            sizes = f", train {train:,}, dev {dev:,}, test {test:,}, classes {classes}"
        print(f"\n{source.name}: {source.state(root)}{sizes}{download}, licence {source.licence}")
        print(f"    {source.title}\n    {source.home}")
    return 0


def _fetch_for_experiment(experiment: str, root: Path) -> None:
    """Fetch what an experiment reads, if it is not there or not as it was published.

    Raises:
        MissingData: It reads something that cannot be fetched.
    """
    # Hydra and the checks of the configuration, which no other verb of this command needs.
    from ccompress.experiment import needs

    wanted: list[str] = []
    missing = MissingData(root)
    for dataset, chosen in needs.reads(experiment):
        try:
            dataset.require(root)
            dataset.verify(root)
        except InputError:
            wanted.append(dataset.name)
        try:
            chosen.resolve(dataset.vectors).files(root)
        except MissingData as error:
            missing += error
    wanted += missing.names
    if wanted:
        _fetch(_named(wanted), root)
    elif not missing.others:
        print(f"{experiment}: all that it reads is there, in {root}")
    if missing.others:
        raise MissingData(others=missing.others)


def _fetch(chosen: Sequence[Source], root: Path) -> None:
    for source in chosen:
        if not source.files:
            print(f"{source.name}: built in, there is nothing to fetch")
            continue
        print(f"{source.name}: {source.megabytes:,} MB from {source.files[0].url}", flush=True)
        fetched = fetch(source, root)
        done = f"{len(fetched)} of {len(source.files)} files fetched" if fetched else "there"
        print(f"{source.name}: {done}, {_verified(source, root, fetched)}, in {root}")


def _verified(source: Source, root: Path, fetched: Sequence[Path]) -> str:
    """What was verified of the files that are there now, some of them just fetched."""
    unknown = [
        file.path
        for file in source.files
        if not file.sha256 and not (root / file.path in fetched and source.archives.get(file.url))
    ]
    if not unknown:
        return "SHA-256 verified"
    return f"SHA-256 verified except of {', '.join(unknown)} (no checksum is known)"


def _check(chosen: Sequence[Source], root: Path) -> int:
    """Print a line per file; exit code 1 if one of them is not what upstream has."""
    for source in chosen:
        if not source.is_there(root):
            source.find(root, *source.checksums())  # raises, naming the command that fetches it
    damaged = 0
    for source in chosen or sources().values():
        for name, sha256 in source.checksums().items():
            if (actual := source.sha256(root, name)) is None:
                if source.is_there(root):
                    continue
                verdict = "not there"
            elif not sha256:
                verdict = "there, not verified: no checksum is known"
            elif actual == sha256:
                verdict = "whole"
            else:
                damaged += 1
                verdict = "DAMAGED: not the contents that upstream has"
            print(f"{source.name}: {name}: {verdict}")
    if damaged:
        print(f"{damaged} damaged; ccompress data fetch NAME brings them anew")
    return 1 if damaged else 0
