"""Entry of rule summarise_stability."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design, read_runs
from clxai.measures.groups import read_groups
from clxai.measures.stability import stability_table
from clxai.runtime.artefacts import read_table, write_table

settings, sources = snakemake.params.config, snakemake.input
runs = read_runs(design(settings, "model", "seed", "units", "method"), sources.stability)
groups = read_groups(sources.labels)
write_table(stability_table(runs, read_table(sources.summary), settings["fill"], groups), snakemake.output[0])
