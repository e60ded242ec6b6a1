"""What of an Exp has no place in the settings: where it stands, what it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolox_deploy.migrate.statements import Place


@dataclass(frozen=True)
class Leftover:
    """One thing that is not carried over.

    Attributes:
        place: where it stands; None for what the authors' defaults make.
        what: it is.
        cure: what is done here, or what to do.
    """

    place: Place | None
    what: str
    cure: str

    def told(self, path: Path) -> str:
        """As one line on the Exp file at `path`."""
        return f"{where(self.place, path)}{self.what}: {self.cure}"


def where(place: Place | None, path: Path) -> str:
    """ "line 12: ", with the file's name where that is another than `path`."""
    if place is None:
        return ""
    return f"line {place.line}: " if place.path == path else f"{place.path} line {place.line}: "
