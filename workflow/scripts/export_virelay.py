"""Entry of rule export_virelay."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.explorer.projects import export_run

wildcards = snakemake.wildcards
projects = export_run(snakemake.input, snakemake.params.config["name"], wildcards.dataset, wildcards.model, snakemake.output[0])
print(f"{len(projects)} projects", flush=True)
