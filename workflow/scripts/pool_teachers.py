"""Entry of rule pool_teachers."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.amortising.pool import gather
from clxai.runtime.artefacts import read_arrays, write_arrays, write_table

settings = snakemake.params.config
maps = {name: read_arrays(path) for name, path in zip(settings["teachers"], snakemake.input.maps, strict=True)}
pool, table = gather(read_arrays(snakemake.input.bank), maps, settings["duplicates"], settings["faithful"])
print(table.groupby(["head", "method", "reason"]).size().to_string())
write_arrays(pool, snakemake.output.pool)
write_table(table, snakemake.output.table)
