"""Entry of rules plot_figure and plot_figure_of_model."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.figures.base import FIGURES, Study
from clxai.figures.style import save, use_style, warning_of
from clxai.runtime.artefacts import read_table

use_style()
settings, sources, wildcards = snakemake.params.config, snakemake.input, snakemake.wildcards
figure = FIGURES[settings["figure"]]
study = Study(
    dataset=wildcards.dataset,
    model=getattr(wildcards, "model", None),
    tables={name: read_table(getattr(sources, f"table_{name}")[0]) for name in figure.semantics["tables"]},
    arrays={name: getattr(sources, f"array_{name}") for name in figure.semantics["arrays"]},
    **settings["study"],
)
print(f"drawing {wildcards.figure} with {settings['options']}", flush=True)
mark = warning_of(read_table(sources.checks[0]))
sheet = figure.definition(study, **settings["options"])
save(sheet, snakemake.output.svg, snakemake.output.pdf, mark, settings["scope"])
