"""Entry of rule describe_methods."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design, read_runs
from clxai.fills.baselines import PREVIEW
from clxai.runtime.artefacts import read_table, write_text
from clxai.verdict.methods import methods_page
from clxai.verdict.rendering import html

settings = snakemake.params.config
texts = {name: settings["texts"][name] for name in settings["methods"]}
runs = read_runs(design(settings, "model", "method"), snakemake.input.attributions, leave_out=("attribution",))
previews = {run["method"]: found[PREVIEW].values for run, found in runs if PREVIEW in found}
table = read_table(snakemake.input.methods)
blocks = methods_page(settings["name"], snakemake.wildcards.dataset, table, texts, previews)
write_text(html(blocks), snakemake.output[0])
