"""Entry of rule flip."""

from typing import TYPE_CHECKING

from clxai.artefacts import read_arrays, write_arrays
from clxai.curves import check_heads, flip_curves
from clxai.devices import describe, select_device
from clxai.logs import log_to
from clxai.runs import open_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
device = select_device(snakemake.threads)
attributions = read_arrays(snakemake.input.attributions[0])
run = open_run(snakemake.input, snakemake.wildcards.dataset, device).at(attributions["image"].values)
check_heads(list(run.heads), attributions, snakemake.input.attributions[0])
print(f"{snakemake.wildcards.method}: {len(run.index)} images, heads {', '.join(run.heads)}, on {describe(device)}")
settings = snakemake.params.config
curves = flip_curves(run.network, run.observer(settings["bank_k"]), run.images, attributions, run.embeddings, settings)
write_arrays(curves, snakemake.output[0])
