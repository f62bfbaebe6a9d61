"""A config as the rules see it: files merged, texts read as YAML means them, defaults filled in, checked."""

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError
from clxai.planning.config import check_schema, check_values
from clxai.planning.randomising import expand
from clxai.planning.reading import check_keys, read_texts, study_name


def fill(config: MutableMapping[str, Any], schema_file: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill the defaults and the study's name into a merged config, in place; `files` are its sources in the order of merging.

    Raises ClxaiError at the first key or value that is refused.
    """
    import yaml
    from snakemake.utils import validate

    schema = yaml.safe_load(schema_file.read_text())
    check_schema(read_texts(config, schema), schema)
    validate(config, str(schema_file))
    if config["randomisation"]["methods"]:
        expand(config)
        validate(config, str(schema_file))  # the defaults of what was added
    config["study"]["name"] = study_name(config, files)
    check_values(config)


def merged(files: Sequence[Path], schema_file: Path) -> dict[str, Any]:
    """Return the filled config of config files, merged in this order. Raises ClxaiError if one cannot be read or is refused."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    config: dict[str, Any] = {}
    for file in files:
        if not file.is_file():
            raise ClxaiError(f"{file}: no such config file")
        check_keys(file)
    read = {str(file): load_configfile(file) for file in files}
    for content in read.values():
        update_config(config, content)
    fill(config, schema_file, read)
    return config
