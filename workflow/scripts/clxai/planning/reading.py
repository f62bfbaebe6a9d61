"""How the config is read: keys once, texts as YAML means them, the study's name, plain values for params."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError

_PLANNED = "CLXAI_CONFIG_SHA256"


def check_keys(path: str | Path) -> None:
    """Raise ClxaiError if a config file gives a key twice, of which the last one would count, or if it cannot be read."""
    import yaml

    text = Path(path).read_text(encoding="utf-8")
    try:
        json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
        return  # as Snakemake does: JSON first, which may be indented by tabs
    except json.JSONDecodeError:
        pass
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ClxaiError(f"{path} is neither JSON nor YAML: line {line}: {error.problem}") from None
    for node in _mappings(root):
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise ClxaiError(f"{path}, line {key.start_mark.line + 1}: {key.value!r} is given twice")
            seen.add(str(key.value))


def _once(pairs: list[tuple[str, Any]], path: str | Path) -> dict[str, Any]:
    """Return the pairs of a JSON object as a mapping; raise ClxaiError if a key is given twice."""
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ClxaiError(f"{path}: {twice!r} is given twice")
    return dict(pairs)


def _mappings(node: Any) -> Iterator[Any]:
    """Yield the mappings in a tree of YAML nodes."""
    if isinstance(getattr(node, "value", None), list):
        is_mapping = node.id == "mapping"
        if is_mapping:
            yield node
        for inner in node.value:
            yield from _mappings(inner[1] if is_mapping else inner)


def check_unchanged(config: Mapping[str, Any], environment: MutableMapping[str, str], is_main: bool) -> None:
    """Raise ClxaiError in a job that reads another config than the Snakemake that sent it: it was edited in between.

    Jobs on a cluster read the config file anew, while Snakemake records the params that it planned with.
    """
    digest = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()
    planned = [entry.split(":") for entry in environment.get(_PLANNED, "").split()]
    if is_main:  # jobs inherit it; one for each module of the same Snakefile
        own = [f"{process}:{known}" for process, known in planned if process == str(os.getpid())]
        environment[_PLANNED] = " ".join([*own, f"{os.getpid()}:{digest}"])
    elif planned and digest not in (known for _, known in planned):
        raise ClxaiError("the config was edited after this run of Snakemake was started: run Snakemake again")


def read_texts(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the config with every text where the schema wants no text read as YAML reads it, and `~` in paths as the home.

    Snakemake hands the inner values of `--config 'flipping={steps: 8}'` over as texts. Mappings and lists are changed in place.
    """
    if isinstance(value, MutableMapping):
        for key, inner in value.items():
            value[key] = read_texts(inner, _schema_of(key, schema))
        for key in ("path", "weights"):
            if isinstance(value.get(key), str) and key in schema.get("properties", {}):
                value[key] = os.path.expanduser(value[key])  # noqa: PTH111, which leaves an unknown user as it is
    elif isinstance(value, list):
        value[:] = [read_texts(inner, schema.get("items", {})) for inner in value]
    elif isinstance(value, str):
        return _read_text(value, schema)
    return value


def _schema_of(key: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a key of a mapping; an empty one where none is given."""
    found = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    return found if isinstance(found, Mapping) else {}


def _read_text(text: str, schema: Mapping[str, Any]) -> Any:
    """Return what a text stands for: itself where the schema allows texts, but for null; else a number, a truth value or null."""
    import yaml

    try:
        value = yaml.safe_load(text) if text else text
    except yaml.YAMLError:
        return text
    kinds = schema.get("type", ())
    if value is None and ("null" in kinds or not kinds):
        return None
    wants_text = "string" in kinds or "enum" in schema
    return value if isinstance(value, bool | int | float) and not wants_text else text


def study_name(config: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of a study: `study.name`, else that of the last of its config files, given in the order of merging.

    A name in an earlier file is not inherited: the study of the last file would overwrite the tables of the other. The file
    `config.yaml`, and no file at all (a module), are the study `default`.
    """
    names = [(content.get("study") or {}).get("name") for content in files.values()]
    name = config["study"].get("name")
    if name is not None and not (names and names[-1] is None and name in names):
        return name
    stem = re.sub("[^a-z0-9_]", "_", Path([*files][-1]).stem.lower()).lstrip("_") if files else ""
    return "default" if stem in ("", "config") else stem


def plain(value: Any) -> Any:
    """Return a value of plain types with sorted keys, as Snakemake's params need it to notice exactly the real changes."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
