"""Which study a user means, a folder, a name, or the only one that there is; and the checkout that this command is from."""

from pathlib import Path

from clxai.errors import ClxaiError, unknown_name
from clxai.names import STUDIES
from clxai.registry import LIBRARY

CHECKOUT = LIBRARY.parents[2]
HOME = Path("results", STUDIES)
TABLES = "tables"


def find_study(given: str | None = None, home: Path = HOME) -> Path:
    """Return the folder of one study of one data set, which holds its tables.

    `given` is such a folder, the folder above it, or the name of a study below `home`; None is the only study that there is.
    Raises ClxaiError if there is none, or if more than one is meant.
    """
    if given is None:
        return _only(sorted(home.glob(f"*/*/{TABLES}")), f"no finished study below {home}", "name one")
    folder = Path(given)
    if (folder / TABLES).is_dir():
        return folder
    if not folder.is_dir():
        folder = home / given
    if not folder.is_dir():
        raise unknown_name("study", given, [path.name for path in home.glob("*") if path.is_dir()])
    return _only(sorted(folder.glob(f"*/{TABLES}")), f"{folder} holds no finished study", "name its folder")


def _only(found: list[Path], none: str, several: str) -> Path:
    if not found:
        raise ClxaiError(f"{none} (it would have a folder {TABLES!r}): run `snakemake --cores 2` first, or name its folder")
    if len(found) > 1:
        raise ClxaiError(f"more than one study is meant, {several}: {', '.join(str(path.parent) for path in found)}")
    return found[0].parent
