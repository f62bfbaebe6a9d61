"""Entry of rule state_verdict."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.runtime.artefacts import read_table, write_record
from clxai.verdict.page import page_of
from clxai.verdict.records import TABLES, Study
from clxai.verdict.rendering import write_page
from clxai.verdict.rules import verdict_of

tables = {name: read_table(getattr(snakemake.input, name)) for name in TABLES}
design = {**snakemake.params.config, "dataset": snakemake.wildcards.dataset}
study = Study(tables=tables, **design)
statements = verdict_of({"": study})
print(f"{len(statements)} statements", flush=True)
write_page(page_of(study, statements), snakemake.output.markdown, snakemake.output.html)
write_record(design, snakemake.output.design)
