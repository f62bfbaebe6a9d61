"""Entry of rule train_model."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

import pandas as pd
from clxai.data.datasets import open_prepared
from clxai.networks.models import save_network
from clxai.runtime.artefacts import write_record, write_table
from clxai.runtime.devices import circumstances, describe, select_device
from clxai.training.resuming import SideFile
from clxai.training.training import HISTORY, train

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
print(f"training on {describe(device)}")
side = SideFile.beside(snakemake.output.model, snakemake.input.code)
start = next(iter(snakemake.input.start), None)
result = train(data, snakemake.params.config, int(snakemake.wildcards.seed), device, side, start)
write_table(pd.DataFrame(result.history, columns=HISTORY), snakemake.output.history)
write_record({**result.record(), **circumstances(device)}, snakemake.output.record)
save_network(result.network, snakemake.output.model)
side.remove()
