"""Entry of rule analyse."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.analyses.analysing import analyse
from clxai.runs import open_run
from clxai.runtime.artefacts import write_arrays
from clxai.runtime.devices import describe, select_device

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
run = open_run(snakemake.input, snakemake.wildcards.dataset, device).at_sample(snakemake.input.sample[0])
print(f"{snakemake.wildcards.analysis}: {len(run.index)} images, heads {', '.join(run.heads)}, on {describe(device)}")
write_arrays(analyse(run, **snakemake.params.config), snakemake.output[0])
