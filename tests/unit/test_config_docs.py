"""config/README.md is what the schema and the declarations say."""

import yaml
from clxai.planning.config_docs import COMMAND, SCHEMA, TARGET, document

REPAIR = f"config/README.md is out of date, run: {COMMAND}"


def test_committed_file_is_the_generated_one():
    """Same text, byte for byte."""
    assert TARGET.read_text() == document(yaml.safe_load(SCHEMA.read_text())), REPAIR


def test_every_key_of_the_schema_is_documented():
    """An independent walk over the schema finds each key, with a description and either a default or the mark `required`."""

    def keys(node):
        for name, key in node.get("properties", {}).items():
            yield name, key
            yield from keys(key)
        if isinstance(node.get("additionalProperties"), dict):
            yield from keys(node["additionalProperties"])

    schema, text = yaml.safe_load(SCHEMA.read_text()), TARGET.read_text()
    for name, key in keys(schema):
        assert key.get("description"), f"{name} has no description in {SCHEMA.name}"
        assert f"{name}`" in text or f"`{name}." in text, f"{name}: {REPAIR}"


def test_a_new_key_changes_the_text():
    """A key that is added to the schema appears with its type, limits and default."""
    schema = yaml.safe_load(SCHEMA.read_text())
    key = {"description": "A | B", "type": ["null", "number"], "exclusiveMinimum": 0, "maximum": 1, "default": None}
    schema["properties"]["flipping"]["properties"]["novel"] = key
    assert "| `novel` | number or null, > 0, <= 1 | `null` | A \\| B |" in document(schema)
