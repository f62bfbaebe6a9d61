"""Entry of rule summarise_analyses."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design, read_runs
from clxai.measures.analyses import analysis_table
from clxai.measures.groups import read_groups
from clxai.runtime.artefacts import write_table

cells = design(snakemake.params.config, "model", "seed", "analysis")
groups = read_groups(snakemake.input.labels)
write_table(analysis_table(read_runs(cells, snakemake.input.analyses), groups), snakemake.output[0])
