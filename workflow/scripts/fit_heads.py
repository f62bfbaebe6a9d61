"""Entry of rule fit_heads."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.datasets import open_prepared
from clxai.heads.base import save_head
from clxai.heads.fitting import fit_heads
from clxai.networks.embeddings import read_embeddings
from clxai.networks.inference import load_encoder
from clxai.runtime.artefacts import write_table
from clxai.runtime.devices import select_device

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
embeddings = read_embeddings(snakemake.input.embeddings[0], data)
encoder = load_encoder(snakemake.input.model, device)
settings = snakemake.params.config
heads, metrics = fit_heads(encoder, data, embeddings, settings, snakemake.input.model)
paths = {Path(path).stem: path for path in snakemake.output.heads}
for name, head in heads.items():
    save_head(head, settings[name]["head"], paths[name])
write_table(metrics, snakemake.output.metrics)
