"""Entry of rule describe_results."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.runtime.artefacts import read_table, write_record, write_table, write_text
from clxai.verdict.rendering import markdown
from clxai.verdict.results import results_page

settings, dataset = snakemake.params.config, snakemake.wildcards.dataset
ranks = read_table(snakemake.input.ranks)
write_text(markdown(results_page(settings["name"], dataset, settings["shown"], ranks)), snakemake.output.markdown)
record = {"dataset": dataset, "settings": settings["config"], "results": json.loads(ranks.to_json(orient="records"))}
write_record(record, snakemake.output.record)
for metric, rows in ranks.groupby("metric"):
    write_table(rows, Path(snakemake.output.by_metric) / f"{metric}.csv")
