"""Entry of rule embed_images."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.datasets import open_prepared
from clxai.networks.embeddings import embed_dataset
from clxai.networks.inference import load_encoder
from clxai.runtime.artefacts import write_arrays
from clxai.runtime.devices import describe, select_device

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
encoder = load_encoder(snakemake.input.model, device)
print(f"embedding {len(data.images)} images on {describe(device)}")
write_arrays(embed_dataset(encoder, data, device, snakemake.input.model), snakemake.output[0])
