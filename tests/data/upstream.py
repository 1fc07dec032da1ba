"""What the local HTTP server of the tests, which stands in for upstream, holds and does."""

from dataclasses import dataclass, field


@dataclass
class Upstream:
    """What the server holds (path -> contents), how it misbehaves, and what was asked of it.

    Attributes:
        breaks: Path -> how many more times it stops half-way.
    """

    address: str
    contents: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
