"""Entry of rule rank_methods."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design
from clxai.measures.ranking import measured_seconds, ranking_table
from clxai.runtime.artefacts import read_table, write_table

cells = design(snakemake.params.config, "model", "seed", "method")
summary, maps = read_table(snakemake.input.summary), read_table(snakemake.input.maps)
write_table(ranking_table(summary, maps, measured_seconds(cells, snakemake.params.seconds)), snakemake.output[0])
