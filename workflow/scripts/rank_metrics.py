"""Entry of rule rank_metrics."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.measures.metric_ranks import rank_table
from clxai.runtime.artefacts import read_table, write_table

summary, beside = read_table(snakemake.input.summary), [read_table(path) for path in snakemake.input.beside]
write_table(rank_table(summary, beside, snakemake.params.config["controls"]), snakemake.output[0])
