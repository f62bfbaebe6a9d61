"""Entry of rule export_images."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.datasets import open_prepared
from clxai.data.exporting import export_images
from clxai.runtime.artefacts import read_table

data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
index = read_table(snakemake.input.sample[0])["image"].to_numpy()
print(export_images(data, index, snakemake.output[0]).to_string(index=False))
