"""Entry of rule plot_tables."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.figures.style import save, use_style, warning_of
from clxai.figures.tables import TABLE_FIGURES, Tables
from clxai.runtime.artefacts import read_table

use_style()
settings, sources = snakemake.params.config, snakemake.input
mark = warning_of(read_table(sources.checks[0]))
tables = Tables(
    heads=read_table(sources.heads),
    summary=read_table(sources.summary),
    curves=read_table(sources.curves),
    contrasts=read_table(sources.contrasts),
    models=settings["models"],
    head_names=settings["heads"],
    methods=settings["methods"],
    fill=settings["fill"],
    margin=settings["margin"],
)
for svg, pdf in zip(snakemake.output.svg, snakemake.output.pdf, strict=True):
    name = svg.rsplit("/", 1)[1].removesuffix(".svg")
    print(f"drawing {name}", flush=True)
    save(TABLE_FIGURES[name](tables), svg, pdf, mark)
