"""Where the word vectors GloVe 6B come from; `ccompress.data.vectors` reads them."""

from ccompress.data.downloads.source import File, Source

DIMENSIONS = (50, 100, 200, 300)

_ARCHIVE = "https://nlp.stanford.edu/data/glove.6B.zip"
# Upstream states no checksums; the archive's, and that of the 100-dimensional file, are the ones
# that projects which use them agree on.
_CHECKSUMS = {100: "95dde4dfd627ab26608d33e76d1195ec059734bd29089ea52cadb08d07c64544"}

SOURCE = Source(
    name="glove",
    title="GloVe 6B word vectors, 50 to 300 dimensions (Pennington et al. 2014); a file named"
    " subset lacks a, i, 's, n't and numbers",
    home="https://nlp.stanford.edu/projects/glove/",
    licence="PDDL 1.0",
    files=tuple(
        File(
            f"vectors/glove.6B.{dim}d.txt",
            _CHECKSUMS.get(dim, ""),
            _ARCHIVE,
            f"glove.6B.{dim}d.txt",
        )
        for dim in DIMENSIONS
    ),
    megabytes=862.2,
    archives={_ARCHIVE: "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb"},
    alternatives={
        "vectors/glove.6B.100d.txt.gz": "",
        "vectors/glove.6B.100d.subset.txt.gz": (
            "9677683f83481e16a0f1df2fd5dd565f9b57534637a9b095a9c818f448405411"
        ),
    },
    parts={
        f"{dim}d": tuple(
            f"{folder}glove.6B.{dim}d{ending}"
            for ending in (".txt", ".txt.gz", ".subset.txt.gz")
            for folder in ("", "vectors/")
        )
        for dim in DIMENSIONS
    },
)
