"""Entry of rule check_study."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.design import design, read_runs
from clxai.measures.checks import check_table, require_all
from clxai.runtime.artefacts import read_table, write_table

settings = snakemake.params.config
runs = read_runs(design(settings, "model", "seed", "method"), snakemake.input.attributions, leave_out=("attribution",))
images, heads, maps, curves = (read_table(getattr(snakemake.input, name)) for name in ("images", "heads", "maps", "curves"))
table = check_table(images, heads, maps, curves, runs, settings["checks"], settings["oracles"])
print(table.to_string(index=False))
require_all(table)
write_table(table, snakemake.output[0])
