"""Entry of rule flip."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.flipping.curves import flip_curves
from clxai.runs import open_run
from clxai.runtime.artefacts import read_arrays, write_arrays
from clxai.runtime.devices import describe, select_device

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
attributions = read_arrays(snakemake.input.attributions)
run = open_run(snakemake.input, snakemake.wildcards.dataset, device)
print(f"{snakemake.wildcards.method}: {attributions.sizes['image']} images, heads {', '.join(run.heads)}, on {describe(device)}")
write_arrays(flip_curves(run, attributions, snakemake.params.config), snakemake.output[0])
