"""Entry of rule compare_classes."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design
from clxai.measures.classes import class_table
from clxai.measures.explained import maps_at
from clxai.measures.groups import read_groups
from clxai.measures.similarity import read_cuts
from clxai.runtime.artefacts import write_table

settings, sources = snakemake.params.config, snakemake.input
read = maps_at(design(settings, "model", "seed", "method"), sources.attributions)
cuts = read_cuts(settings["units"], sources.curves)
groups = read_groups(sources.labels)
write_table(class_table(read, settings["seeds"], cuts, settings["pairs"], groups), snakemake.output[0])
