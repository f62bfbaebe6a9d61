"""Entry of rule prepare_data."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.preparing import prepare
from clxai.runtime.artefacts import write_table

found = prepare(snakemake.params.config, snakemake.output.images, snakemake.output.labels)
write_table(found, snakemake.output.sources)
