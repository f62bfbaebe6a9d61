"""The configs with everything: what is registered is in them, so that a new member is run beside all others."""

import pytest
from clxai.planning.choices import chosen
from clxai.planning.filling import merged
from clxai.planning.outputs import banks_measured, metrics_of
from clxai.registry import declared
from project import ROOT

pytestmark = pytest.mark.xdist_group("everything")  # one config at a time serves all

CONFIGS = {"digits": ["everything_digits"], "fashion": ["everything_digits", "everything_fashion"]}
LISTED = {"methods": ("study", "methods"), "heads": ("study", "heads"), "fills": ("flipping", "fills")}


@pytest.fixture(scope="module", params=CONFIGS)
def config(request):
    """The config as planning fills it in, checked."""
    files = [ROOT / "config" / f"{name}.yaml" for name in ("config", *CONFIGS[request.param])]
    return merged(files, ROOT / "workflow" / "schemas" / "config.schema.yaml")


def possible(family, entry):
    """Whether data without known evidence and a user's files have a member, without optional packages and networks of its own."""
    if family != "methods":
        return True
    own = entry.semantics
    return not (own["needs_evidence"] or own["learns"]) and own["borrows"] != "file" and own["package"] is None


@pytest.mark.parametrize("family", LISTED)
def test_every_member_is_in_the_config(config, family):
    section, key = LISTED[family]
    used = {chosen(config, family, name)[0] for name in config[section][key]}
    missing = [name for name, entry in declared(family).items() if possible(family, entry) and name not in used]
    assert not missing, f"config/everything_digits.yaml: add {', '.join(missing)} to {section}.{key}"


def test_every_metric_is_measured_of_every_fill_that_it_can_be(config):
    assert metrics_of(config) == list(declared("metrics"))
    measured = {bank.fill for bank in banks_measured(config)}
    assert measured == {name for name in config["flipping"]["fills"] if declared("fills")[name].semantics["needs"] != "bank"}
