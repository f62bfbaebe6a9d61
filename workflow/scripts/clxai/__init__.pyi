# The public names for type checkers: a stub is no code, so that no job depends on what these import.
from clxai.api import ClxaiError as ClxaiError
from clxai.api import FittedHeads as FittedHeads
from clxai.api import StudyResults as StudyResults
from clxai.api import Summary as Summary
from clxai.api import as_network as as_network
from clxai.api import explain as explain
from clxai.api import fill_bank as fill_bank
from clxai.api import fit_heads as fit_heads
from clxai.api import flip as flip
from clxai.api import load_study as load_study
from clxai.api import method as method
from clxai.api import summarise as summarise

__version__: str
__all__: list[str]
