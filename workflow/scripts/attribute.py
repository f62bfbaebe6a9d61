"""Entry of rule attribute."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.amortising.explainers import read_explainers
from clxai.attribution.explaining import explain
from clxai.attribution.given import read_borrowed, read_maps
from clxai.attribution.metadata import metadata_of
from clxai.mask_bank.game import read_bank
from clxai.runs import open_run
from clxai.runtime.artefacts import write_arrays, write_record
from clxai.runtime.devices import describe, select_device

device = select_device(snakemake.threads, snakemake.resources, snakemake.log[0])
run = open_run(snakemake.input, snakemake.wildcards.dataset, device).at_sample(snakemake.input.sample[0])
print(f"{snakemake.wildcards.method}: {len(run.index)} images, heads {', '.join(run.heads)}, on {describe(device)}")
settings = snakemake.params.config
borrowed = read_borrowed(snakemake.input.borrowed, run, settings["method_name"], settings["options"])
maps, bank = read_maps(snakemake.input.maps), read_bank(snakemake.input.bank)
explainers = read_explainers(snakemake.input.explainers, device)
found = explain(run, **settings, maps=maps, borrowed=borrowed, bank=bank, explainers=explainers)
write_arrays(found, snakemake.output.maps)
write_record(metadata_of(found), snakemake.output.record)
