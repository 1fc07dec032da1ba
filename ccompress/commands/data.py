"""`ccompress data`: list, fetch and check data sets and word vectors."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import ccompress.data
from ccompress.commands.arguments import Arguments
from ccompress.config import files
from ccompress.data.base import default_root
from ccompress.data.downloads.fetch import fetch
from ccompress.data.downloads.source import Source
from ccompress.errors import InputError, MissingData, nearest


def sources() -> dict[str, Source]:
    """Name -> source, for each data set and each set of word vectors that declares a source."""
    modules = (
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(ccompress.data.__path__, "ccompress.data.")
    )
    declared = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return {source.name: source for source in sorted(declared, key=lambda source: source.name)}


def parser() -> Arguments:
    """The arguments of the verb."""
    parser = Arguments("data", "Lists, downloads and checks data sets and word vectors.")
    parser.add_argument(
        "verb",
        metavar="list | fetch | check",
        help="list: show all data, whether they are here, their sizes, sources and licences; "
        "fetch: download data and verify them; check: verify the SHA-256 of the data here",
    )
    parser.completes("verb", lambda _: _VERBS)
    parser.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="NAME",
        help="a data set or vectors (default for list: all; for check: all that are here); for "
        "fetch also an experiment, whose missing data are then fetched",
    )
    parser.completes("names", lambda _: [*sources(), *files.options("experiment")])
    parser.add_argument(
        "--root",
        type=Path,
        default=default_root(),
        metavar="FOLDER",
        help="the data root (default: CCOMPRESS_DATA if set, otherwise the user's cache folder; "
        "now %(default)s)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """List, fetch or check data.

    Raises:
        InputError: A name is unknown, or its data are missing or cannot be fetched.
    """
    given = parser().read(arguments)
    if given.verb not in _VERBS:
        raise InputError(
            f"data {given.verb!r} is not a verb{nearest(given.verb, _VERBS)}; it is one of "
            f"{', '.join(_VERBS)}"
        )
    return _VERBS[given.verb](given.names, given.root)


def _named(names: Sequence[str], others: Sequence[str] = ()) -> list[Source]:
    """The sources with these names; the error for an unknown name also lists `others`."""
    known = sources()
    for name in names:
        if name not in known:
            listed = [*known, *others]
            raise InputError(
                f"unknown data {name!r}{nearest(name, listed)}; known are {', '.join(listed)}"
            )
    return [known[name] for name in names]


def _list(names: Sequence[str], root: Path) -> int:
    """Print all data sets and vectors, or the named ones."""
    chosen = _named(names) or sources().values()
    print(f"data root: {root}")
    for source in chosen:
        download = f", download {source.megabytes:,} MB" if source.files else ""
        sizes = ""
        if source.sizes:
            train, dev, test, classes = source.sizes
            sizes = f", train {train:,}, dev {dev:,}, test {test:,}, classes {classes}"
        print(f"\n{source.name}: {source.state(root)}{sizes}{download}, licence {source.licence}")
        print(f"    {source.title}\n    {source.home}")
    return 0


def _fetch(names: Sequence[str], root: Path) -> int:
    """Fetch the named data and everything that the named experiments read."""
    experiments = files.options("experiment")
    if not names:
        known = ", ".join([*sources(), *experiments])
        raise InputError(f"data fetch: name what to fetch, one or several of {known}")
    others = [name for name in names if name not in experiments]
    _bring(_named(others, experiments), root)
    for name in names:
        if name in experiments:
            _fetch_for_experiment(name, root)
    return 0


def _fetch_for_experiment(experiment: str, root: Path) -> None:
    """Fetch the data of an experiment that are missing or differ from the published ones.

    Raises:
        MissingData: The experiment reads data that cannot be fetched.
    """
    # Imports Hydra and the checks of the configuration, which `list` and `check` do not need.
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
        _bring(_named(wanted), root)
    elif not missing.others:
        print(f"{experiment}: everything that it reads is in {root}")
    if missing.others:
        raise MissingData(others=missing.others)


def _bring(chosen: Sequence[Source], root: Path) -> None:
    for source in chosen:
        if not source.files:
            print(f"{source.name}: built in; there is nothing to fetch")
            continue
        print(f"{source.name}: {source.megabytes:,} MB from {source.files[0].url}", flush=True)
        fetched = fetch(source, root)
        done = f"{len(fetched)} of {len(source.files)} files fetched" if fetched else "there"
        print(f"{source.name}: {done}, {_verified(source, root, fetched)}, in {root}")


def _verified(source: Source, root: Path, fetched: Sequence[Path]) -> str:
    """A phrase that says which of the present files were verified."""
    unknown = [
        file.path
        for file in source.files
        if not file.sha256 and not (root / file.path in fetched and source.archives.get(file.url))
    ]
    if not unknown:
        return "SHA-256 verified"
    return f"SHA-256 verified except of {', '.join(unknown)} (no checksum is known)"


def _check(names: Sequence[str], root: Path) -> int:
    """Print a line per file; exit code 1 if a file has other contents, or no file is there."""
    chosen = _named(names)
    for source in chosen:
        if not source.is_there(root):
            source.find(root, *source.checksums())  # raises, naming the command that fetches it
    damaged = present = 0
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
            present += actual is not None
            print(f"{source.name}: {name}: {verdict}")
    if damaged:
        print(f"{damaged} damaged; ccompress data fetch NAME brings them anew")
    if not (present or chosen):
        print(f"nothing is there, in {root}; ccompress data fetch NAME brings it")
        return 1
    return 1 if damaged else 0


_VERBS = {"list": _list, "fetch": _fetch, "check": _check}
