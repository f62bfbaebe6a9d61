"""Entry of rule build_explorer."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.explorer.content import Content
from clxai.explorer.page import write_page
from clxai.explorer.told import Files, Told

told = Told(dataset=snakemake.wildcards.dataset, **snakemake.params.config)
content = Content(told, Files.of(snakemake.input))
title = f"{told.name}, {told.dataset}: explorer"
n_bytes = write_page(title, content.slices(), snakemake.output.page, snakemake.output.slices)
print(f"{len(content.index)} images, {n_bytes / 1e6:.1f} MB of slices", flush=True)
