"""Entry of rule prepare_data."""

from typing import TYPE_CHECKING

from clxai.logs import log_to
from clxai.preparing import prepare

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0], snakemake.input.code)
prepare(snakemake.params.config, snakemake.output.images, snakemake.output.labels)
