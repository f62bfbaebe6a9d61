"""Entry of rule sample_images."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

import pandas as pd
from clxai.data.datasets import open_prepared
from clxai.data.samples import draw_sample
from clxai.runtime.artefacts import write_table

data = open_prepared(snakemake.wildcards.dataset, snakemake.input[0], snakemake.input[1])
index = draw_sample(data, snakemake.wildcards.sample, **snakemake.params.config)
write_table(pd.DataFrame({"image": index, "label": data.labels[index]}), snakemake.output[0])
split = snakemake.params.config["split"]
print(f"{snakemake.wildcards.sample}: {len(index)} of {len(data.indices(split))} {split} images")
