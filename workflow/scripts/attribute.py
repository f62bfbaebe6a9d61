"""Entry of rule attribute."""

from typing import TYPE_CHECKING

from clxai.artefacts import write_arrays
from clxai.attribution.explaining import explain
from clxai.devices import describe, select_device
from clxai.logs import log_to
from clxai.runs import open_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
device = select_device(snakemake.threads)
run = open_run(snakemake.input, snakemake.wildcards.dataset, device).at_evaluation(snakemake.input.evaluation[0])
print(f"{snakemake.wildcards.method}: {len(run.index)} images, heads {', '.join(run.heads)}, on {describe(device)}")
settings = snakemake.params.config
maps = explain(
    run.network, run.heads, run.images, run.index, run.embeddings, settings["method"], settings["options"], settings["seed"]
)
write_arrays(maps, snakemake.output[0])
