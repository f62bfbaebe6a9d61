"""Write config/README.md from the schema and from what the library declares: `python -m clxai.planning.config_docs`.

A test holds the committed file equal to what this module writes.
"""

import ast
import csv
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from clxai.registry import LIBRARY, Declaration, declared

ROOT = LIBRARY.parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
TARGET = ROOT / "config" / "README.md"
ESTIMATES = ROOT / "config" / "estimates.csv"
_WIDTH = 130  # characters of a line of prose
COMMAND = "PYTHONPATH=workflow/scripts python -m clxai.planning.config_docs"

_TITLE = f"""\
# Configuration

<!-- Written by `{COMMAND}`. -->
"""

_INTRO = """\
`config/config.yaml` is the default study and is always read. A file given with `--configfile` is merged over it:

    snakemake --cores 2 --configfile config/fashionmnist.yaml

- Mappings are merged key by key, at every depth: a file holds only what differs.
- Lists and single values are replaced as a whole. `study.models: [ce]` leaves one model.
- Entries of `datasets`, `models`, `heads` and `methods` that the study does not name stay in the merged config and are not used.
- A YAML anchor (`&name`, `*name`) is one mapping under two names: an override of one place changes the other place too.
- Keys that are not given take the default of the table. An unknown key or name, a wrong type or a value out of range is refused
  before any job starts.
- The file names the study: its tables and figures are in `results/studies/fashionmnist`, those of `config.yaml` in
  `results/studies/default`. Of several files the last one names it, unless it sets `study.name`; a name in an earlier file is not
  inherited. Studies share data, models, embeddings, attributions and curves.
- YAML reads `1e-3` as a string. Write `1.0e-3` or `0.001`.
- `--config 'flipping={steps: 8}'` changes single keys for one call; its values are read as in a file.
- A config file may be JSON.

The config holds the science alone. Threads, memory, run time, GPUs and partitions are in the rules and in
[profiles](../profiles/README.md).

## Declaring a data set

One entry per data set; its name becomes the folder `results/<name>`. Add the name to `study.datasets`.

```yaml
datasets:
  digits: {source: digits, size: 24} # size: a multiple of 8
  cifar10: {source: torchvision, name: CIFAR10, download: true}
  blood: {source: npz, path: data/bloodmnist.npz} # MedMNIST layout: train_images, train_labels, ...
  birds: {source: folder, path: data/birds, size: 224} # {class}/*.png or {train,val,test}/{class}/*.png
  words: {source: wav, path: data/fsdd, arguments: {pattern: "{label}_{group}_{index}.wav"}, fold: [0, 6]} # below
  planted: {source: planted, size: 32, arguments: {images: 6000, classes: 5, variant: plain}} # or shortcut, redundant
```

Where it is known which pixels are evidence of the class, `oracle` is a method, and the maps of all methods are compared with it:
data of sources `planted` and `tones`, and npz files with `train_evidence` (and that of their other splits), uint8 `[image, y,
x]`, 0 where there is none. [planted.yaml](planted.yaml) is a study of such data.

**Recordings** (source `wav`) become mel spectrograms of `size` [mels, frames], by default 32 each, row 0 the lowest frequencies.
Class and speaker are read from the names of the files alone, by a pattern relative to `path`: `{label}` is the class, `{group}`
the speaker, `{index}` a whole number, `{}` or any other name what may be anything; a field that is repeated must be the same
text. A folder is no class unless the pattern says so. The Free Spoken Digit Dataset is `"{label}_{group}_{index}.wav"`,
AudioMNIST, whose folders are speakers, `"{group}/{label}_{group}_{index}.wav"` below its `data` (48 kHz: `rate: 8000`
resamples). `expect_classes`, `expect_groups` and `expect_recordings` refuse another number. Shorter recordings are padded with
silence, in the middle or by `place: keyed` where seed and name say; longer ones are cut and counted in `sources.csv`. Code 0 is
silence, `floor` dB below a sine of full scale; `level: peak` scales each recording to its largest sample. A filter that holds no
frequency of the transform is refused: raise `n_fft`. `test_below: 5` makes the recordings with an index below 5 the test split,
as that of the Free Spoken Digit Dataset: it shares its speakers with training, so it needs `mixed_groups: true` and overstates
accuracy.

**Groups**, such as speakers or patients, lie in one split each, validation too: of recordings by the pattern, of an npz file by
`train_groups` (and those of its other splits), of an image folder by the CSV file `groups`. Whole groups are then drawn for test
and validation, those that come nearest to the fractions; `fold: [k, n]` deals the groups out to `n` blocks, tests on block `k`
and validates on the next: one data set for each `k` is a cross-validation over speakers. Splits of a source that share groups
are refused. `labels.nc` has the group of each image, `sources.csv` how many groups each split has.

Splits that the source does not bring are drawn from its training images, stratified by class and seeded: first the test split
(`test_fraction`), then the validation split (`val_fraction`). `limit` then takes a stratified sample of each split. Images that
are not all of one size need `size`, one number or [height, width]: the same whole multiple of both sides is made by repetition,
anything else by bilinear resizing that keeps the proportions, and a centre crop. Relative paths start at the working directory,
`~` is your home. The test split is never used for fitting or selection.

## Declaring a model

A model is a named recipe; its name becomes a folder. `loss` is the only required key.

```yaml
models:
  triplet:
    loss: triplet
    loss_options: {margin: 0.2}
    epochs: 30
    network: cnn
    network_options: {width: 16}
    augmentation: {crop_padding: 2}
```

## Options of heads, methods, analyses, fills and units

`heads`, `methods`, `analyses`, `fills` and `units` hold options alone; what runs is listed in `study.heads`, `study.methods`,
`study.analyses`, `flipping.fills` and `flipping.units`. Each may appear several times under names of your own, with `head`,
`method`, `analysis`, `fill` or `units` naming the registered one. `layer` names a layer of the network, `last` its deepest;
`baseline` is the name of a fill that needs neither the mask nor the bank.

```yaml
study:
  heads: [linear, knn, knn5]
  methods: [random, grad_cam, cam3]
flipping:
  fills: [mean, wide]
  units: [grid, coarse, superpixels]
heads:
  knn: {k: 100}
  knn5: {head: knn, k: 5}
methods:
  cam3: {method: grad_cam, layer: layer3}
fills:
  wide: {fill: blur, sigma: 0.3}
units:
  grid: {height: 4, width: 4} # px; must tile the images of every data set of the study, at least 2 x 2
  coarse: {units: grid, height: 8, width: 8}
  superpixels: {n_segments: 30}
```

Some controls are made from the maps of another method, `of`, by any name of this section. `model` is one of `models`, `start`
(the one that a model starts from), a list (the first that is another than the own) or a mapping by model; null is the own. `seed`
is `own` or `next` (of `study.seeds`, the first after the last), `sample` one of `samples`. What is only needed is computed, but
neither flipped nor shown. [controls.yaml](controls.yaml) has a set of them for integrated gradients, to be added to any study.

```yaml
samples:
  training: {images: 100, split: train}
methods:
  ig_other_seed: {method: borrowed, of: integrated_gradients, seed: next}
  ig_other_loss: {method: borrowed, of: integrated_gradients, model: [supcon, ce]}
  ig_mean_map: {method: mean_map, of: integrated_gradients, sample: training}
  ig_noisy: {method: degraded, of: integrated_gradients, share: 0.4}
```

`randomisation: {methods: [lrp]}` writes out models without what they learnt, and their maps, for the randomisation test:
[randomisation.yaml](randomisation.yaml) is a study of it.

`stability: {methods: [random, lrp]}` measures how far maps move with the image, beside their SRG.

`lime`, `banzhaf`, `kernel_shap`, `rise` and `leave_one_out` are made of a bank of masked images (`mask_bank`), one for each pair
of their options `units` and `fill`: names of these sections, by default the first that the study flips with.
[bank.yaml](bank.yaml) shows them beside others. Metrics of masks (`faithfulness_correlation`, `infidelity`, `sensitivity_n`) are
measured on the part of these banks that no method is fitted on; where `study.metrics` names them, banks of all units and fills
are filled for them.

Analyses look at a trained run as a whole; none is run by default. Each takes `sample`, a name from `samples`, and `tcav` the
`concepts` that it asks for: `brightness`, classes, or for data whose evidence is known `left` and `upper`.
[analyses.yaml](analyses.yaml) has all of them, to be added to any study.

```yaml
study:
  analyses: [margin, probes, tcav, tcav3]
samples:
  evaluation: {images: 30}
  further: {images: 200} # shares of images of a class want more than a few
analyses:
  probes: {sample: further}
  tcav: {sample: further, concepts: {bright: brightness, loops: {classes: [0, 6, 8, 9]}}}
  tcav3: {analysis: tcav, sample: further, layers: [layer3]}
```

Every setting of units is flipped on its own and has rows of its own in the tables; figures show the first.

A number must be above 0 if its default is, and a whole number if its default is.
"""

_ESTIMATED = """\
## What the studies take

Estimates, not measurements: passes through networks, jobs and rows of tables are counted from each config, for a core with AVX2
that does 42 GFLOP/s in these networks and starts a job in 3.2 s. `clxai estimate --cores 2 CONFIG` (`make estimate CONFIG=...`)
says it by rule, with the speed of your machine. Two cores take half of the core hours. Of a GPU only the passes depend:
PFLOP / (3.6 x its TFLOP/s) hours. [The measured ones beside](../docs/performance.md#estimates).

"""

_ESTIMATED_COLUMNS = {
    "pflop": "PFLOP",
    "train_hours": "core hours, training",
    "core_hours": "core hours, all",
    "memory_gb": "memory of a job, GB",
    "disk_gb": "disk, GB",
}

_FAMILIES = {
    "losses": ("Losses", "`models.<name>.loss`; options go to `models.<name>.loss_options`.", {"views": "views"}),
    "heads": (
        "Heads",
        "`study.heads`; options go to `heads.<name>`. A head that needs a classifier is left out for models trained without one.",
        {"needs_classifier": "needs a classifier"},
    ),
    "methods": (
        "Attribution methods",
        "`study.methods`; options go to `methods.<name>`. The formulae are in [docs/methods.md](../docs/methods.md).",
        {"families": "families"},
    ),
    "analyses": (
        "Analyses",
        "`study.analyses`; options go to `analyses.<name>`, `sample` too. Formulae are in [docs/methods.md](../docs/methods.md).",
        {"payload": "returns", "scope": "scope", "families": "families"},
    ),
    "fills": (
        "Fills",
        "`flipping.fills`, and `baseline` of a method; options go to `fills.<name>`.",
        {"needs": "needs"},
    ),
    "units": ("Units", "`flipping.units`; options go to `units.<name>`.", {}),
    "trust": (
        "Trust measures",
        "`study.trust`; options go to `trust.<name>`. The formulae are in [docs/methods.md](../docs/methods.md).",
        {"needs": "needs", "better": "better", "null": "no trust"},
    ),
    "sources": ("Data sources", "`datasets.<name>.source`.", {"needs": "needs key"}),
}


def document(schema: Mapping[str, Any]) -> str:
    """Return the text of config/README.md: how to configure, every key of the schema, and the declared names."""
    parts = [_TITLE, _INTRO, _ESTIMATED + _estimates(), "## All keys\n"]
    for name, section in schema["properties"].items():
        entry = section.get("additionalProperties")
        keyed = isinstance(entry, Mapping)
        keys = list(_rows(entry if keyed else section))
        title = f"{name}.<name>" if keyed else name
        parts.append(f"### `{title}`\n\n{textwrap.fill(_cell(section['description']), _WIDTH, break_on_hyphens=False)}\n")
        if keys:
            parts.append(markdown_table(("key", "type", "default", "description"), keys))
    parts.append("## Declared names\n")
    for family, (title, text, columns) in _FAMILIES.items():
        rows = [_named(declaration, columns) for declaration in declared(family).values()]
        parts.append(f"### {title}\n\n{text}\n")
        parts.append(markdown_table(("name", *columns.values(), "options", "what"), rows))
    return "\n".join(parts)


def _estimates() -> str:
    """Return the committed estimates as a table."""
    header, *rows = csv.reader(ESTIMATES.read_text().splitlines())
    titles = {
        "train_hours": "core hours, training",
        "core_hours": "core hours, all",
        "memory_gb": "memory, GB",
        "disk_gb": "disk, GB",
    }
    shown = [titles.get(name, name.replace("pflop", "PFLOP")) for name in header]
    return markdown_table(shown, [[f"[{name}]({name})", *numbers] for name, *numbers in rows])


def _rows(section: Mapping[str, Any], prefix: str = "") -> Iterator[Sequence[str]]:
    """Yield key, type, default and description of every key of an object, nested ones with their path."""
    required = section.get("required", ())
    for name, key in section.get("properties", {}).items():
        nested = "properties" in key
        default = "required" if name in required else "" if nested else f"`{_literal(key['default'])}`"
        yield f"`{prefix}{name}`", _kind(key), default, _cell(key["description"])
        yield from _rows(key, f"{prefix}{name}.")


def _kind(key: Mapping[str, Any]) -> str:
    """Say in words which values a key takes."""
    if "enum" in key:
        return "one of " + ", ".join(f"`{value}`" for value in key["enum"])
    types = [key["type"]] if isinstance(key["type"], str) else sorted(key["type"], key="null".__eq__)
    words = {"array": "list", "object": "mapping", "boolean": "true or false", "number": "number", "integer": "whole number"}
    text = " or ".join(words.get(name, name) for name in types)
    limits = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}
    found = [limit.format(key[name]) for name, limit in limits.items() if name in key]
    if "minItems" in key:
        exact = key.get("maxItems") == key["minItems"]
        found.append(f"{'exactly' if exact else 'at least'} {key['minItems']}, each: {_kind(key['items'])}")
    return ", ".join([text, *found])


def _named(declaration: Declaration, columns: Mapping[str, str]) -> Sequence[str]:
    """Return the row of a declared name: what it is called, what it declares, what it takes, what it is."""
    options = dict(declaration.semantics.get("options", {}))
    if declaration.semantics.get("baseline"):
        options["baseline"] = declaration.semantics["baseline"]
    chosen = ", ".join(f"`{key}: {_literal(value)}`" for key, value in options.items())
    facts = [_fact(declaration.semantics.get(column, ())) for column in columns]
    return f"`{declaration.name}`", *facts, chosen, _cell(_summary(declaration))


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _summary(declaration: Declaration) -> str:
    """Return the first paragraph of the docstring of a declared function or class."""
    for node in ast.walk(ast.parse(declaration.file.read_text())):
        for call in getattr(node, "decorator_list", ()):
            if isinstance(call, ast.Call) and call.args and ast.unparse(call.args[0]) == repr(declaration.name):
                return (ast.get_docstring(node) or "").split("\n\n")[0]
    return ""


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with a line feed at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main(target: Path = TARGET) -> None:
    """Write the file."""
    target.write_text(document(yaml.safe_load(SCHEMA.read_text())))


if __name__ == "__main__":
    main()
