"""Entry of rule attribute."""

from typing import TYPE_CHECKING

from clxai.artefacts import write_arrays
from clxai.attribution.explaining import explain
from clxai.devices import describe, select_device
from clxai.logs import log_to
from clxai.runs import open_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0], snakemake.input.code)
device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
run = open_run(snakemake.input, snakemake.wildcards.dataset, device).at_evaluation(snakemake.input.evaluation[0])
print(f"{snakemake.wildcards.method}: {len(run.index)} images, heads {', '.join(run.heads)}, on {describe(device)}")
write_arrays(explain(run, **snakemake.params.config), snakemake.output[0])
