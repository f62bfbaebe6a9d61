"""Entry of rule plot_trajectories."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.data.datasets import open_prepared
from clxai.design import design, read_runs
from clxai.figures.arrays import plot_trajectories
from clxai.figures.style import save, use_style, warning_of
from clxai.runtime.artefacts import read_table

use_style()
settings, sources = snakemake.params.config, snakemake.input
mark = warning_of(read_table(sources.checks[0]))
data = open_prepared(snakemake.wildcards.dataset, sources.images, sources.labels)
embeddings = {cell["model"]: run["embedding"].values for cell, run in read_runs(design(settings, "model"), sources.embeddings)}
curves = {
    (cell["model"], cell["method"]): curve for cell, curve in read_runs(design(settings, "model", "method"), sources.curves)
}
figure = plot_trajectories(data, embeddings, curves, settings["methods"], settings["head"], settings["fill"])
save(figure, snakemake.output.svg, snakemake.output.pdf, mark)
