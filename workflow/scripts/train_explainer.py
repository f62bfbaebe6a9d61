"""Entry of rule train_explainer."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

import pandas as pd
from clxai.amortising.explainers import record_of
from clxai.amortising.learning import HISTORY, learn
from clxai.amortising.network import save_explainer
from clxai.data.datasets import open_prepared
from clxai.runtime.artefacts import read_arrays, write_record, write_table
from clxai.runtime.devices import circumstances, describe, select_device
from clxai.training.resuming import SideFile

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
data = open_prepared(snakemake.wildcards.dataset, snakemake.input.images, snakemake.input.labels)
print(f"training explainer {snakemake.wildcards.explainer} of {snakemake.wildcards.method} on {describe(device)}")
bank, validation = read_arrays(snakemake.input.bank), read_arrays(snakemake.input.validation)
pool = read_arrays(snakemake.input.pool[0]) if snakemake.input.pool else None
side = SideFile.beside(snakemake.output.explainer, snakemake.input.code)
result = learn(data, bank, validation, pool, snakemake.params.config, device, side)
write_table(pd.DataFrame(result.history, columns=HISTORY), snakemake.output.history)
write_record({**result.record(), **circumstances(device)}, snakemake.output.record)
save_explainer(result.network, record_of(bank), snakemake.output.explainer)
side.remove()
