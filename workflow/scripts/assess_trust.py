"""Entry of rule assess_trust."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

sys.path.insert(0, snakemake.scriptdir)  # the library beside this script, whatever is installed

from clxai.runtime.logs import log_to

log_to(snakemake.log[0], snakemake.input.code)  # before the imports that take long

from clxai.measures.trust.assessing import assess_study, left_out_table, trust_contrast_table, trust_table
from clxai.measures.trust.claims import claim_table
from clxai.runtime.artefacts import write_table

settings, output = snakemake.params.config, snakemake.output
members = {name: member for name, (member, _) in settings["measures"].items()}
found = assess_study(snakemake.input.images, settings)
write_table(trust_table(found, members), output.trust)
contrasts = trust_contrast_table(found, members, settings["contrasts"])
write_table(contrasts, output.trust_contrasts)
write_table(claim_table(contrasts, members), output.claims)
write_table(left_out_table(settings["left_out"]), output.left_out)
