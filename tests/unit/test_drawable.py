"""Which figure can draw which method: every pair is decided before any job, and a figure says whether it shows single images."""

import re
from itertools import product

import pytest
from clxai import vocabularies
from clxai.errors import ClxaiError
from clxai.figures.base import FIGURES
from clxai.planning import params
from clxai.planning.config import check_values
from clxai.planning.drawable import ACCEPTS, check_scope, methods_drawn, refusal, traits_of
from clxai.planning.extents import channels_of
from clxai.planning.outputs import caption_of, check_drawable, figures_left_out, figures_of, methods_left_out, scope_of
from clxai.registry import Declaration, checked_keywords, declared, files_of, keywords_of
from docutils.core import publish_doctree
from project import changed, filled_config, installed_methods

METHODS, REAL = installed_methods(), declared("figures")
MADE_OF_OTHERS = {"borrowed", "degraded", "mean_map", "class_mean", "wrong_image", "wrong_class"}
AGGREGATED = {"produces": "aggregated", "over": ["image"]}
WORDS = {
    "payloads": vocabularies.PAYLOADS,
    "scopes": vocabularies.SCOPES,
    "alignments": vocabularies.ALIGNMENTS,
    "families": vocabularies.FAMILIES,
    "signs": vocabularies.SIGNS,
    "extras": ["completeness_error", "r2_held_out"],
}


@pytest.fixture(scope="module")
def config():
    """The filled default config, which no test changes."""
    return filled_config()


@pytest.fixture
def invented(config, monkeypatch):
    """Add a figure with these keywords to those that are declared, as `invented`, and return the config."""

    def add(**keywords):
        semantics = checked_keywords({**AGGREGATED, **keywords}, keywords_of("figures"), "here")
        member = Declaration("invented", semantics, "A text.", files_of("figures")["srg"])
        monkeypatch.setitem(declared("figures"), "invented", member)
        return config

    return add


def named(config, **changes):
    """The config with the invented figure named in the study."""
    return changed(config, {"study.figures": ["invented"], **changes})


def check(config):
    """What the check of a whole config does of figures."""
    check_drawable(config)
    figures_of(config)


def refused(config):
    with pytest.raises(ClxaiError) as error:
        check(config)
    return str(error.value)


def test_check_of_a_config_checks_its_figures(config):
    with pytest.raises(ClxaiError, match=r"figures\.srg\.methods must be a list"):
        check_values(changed(config, {"figures.srg": {"methods": []}}))


@pytest.mark.parametrize("figure", REAL)
def test_every_figure_draws_every_method_of_the_library_that_has_what_it_shows(config, figure):
    own = {"methods": {"file": {"path": "maps.npz", "order": "sample", "signed": True}}}
    config = changed(config, {**own, "study.methods": list(METHODS)})
    shown = {name for name in METHODS if {*METHODS[name].semantics["extras"]} & {*REAL["quality"].semantics["extras"]}}
    assert set(methods_drawn(config, figure)) == (shown if figure == "quality" else {*METHODS})
    assert shown >= {"integrated_gradients", "lrp", "kernel_shap"}


@pytest.mark.parametrize("payload", vocabularies.STRUCTURED)
def test_figures_of_maps_refuse_what_is_no_map(config, payload):
    """Whatever else it is: a table or a counterfactual has no order of units that could be flipped, and no pixels to colour."""
    other = {**traits_of(config, "integrated_gradients"), "payloads": (payload,)}
    of_maps = [name for name, entry in REAL.items() if "attributions" in entry.semantics["payloads"]]
    assert {"srg", "ranking", "fills", "deletion", "gallery", "overlay", "quality", "trajectories"} <= {*of_maps}
    for name in of_maps:
        found = refusal(REAL[name].semantics, other)
        assert (found.keyword, found.words) == ("payloads", f"its payload: {payload}; accepted: attributions")


@pytest.mark.parametrize("keyword", ACCEPTS)
def test_figure_draws_a_method_if_they_have_a_word_in_common(keyword):
    """Over all words that a method may have and all that a figure may accept, one or two of each."""
    other = {word: (WORDS[word][0],) for word in ACCEPTS}
    sets = [(), *((word,) for word in WORDS[keyword]), tuple(WORDS[keyword][:2]), tuple(WORDS[keyword][-2:])]
    for accepted, has in product(sets, sets[1:]):
        found = refusal({**dict.fromkeys(ACCEPTS, ()), keyword: accepted}, {**other, keyword: has})
        if not accepted or any(word in accepted for word in has):
            assert found is None
        else:
            assert found.keyword == keyword
            for word in (*accepted, *has):
                assert word in found.words


def test_what_maps_are_made_of_says_whether_they_are_signed_and_what_they_belong_to(config):
    lent = {
        "cam": {"method": "borrowed", "of": "grad_cam"},
        "worse": {"method": "degraded", "of": "cam"},
        "mine": {"method": "file", "path": "maps.npz", "order": "sample", "signed": False},
    }
    config = changed(config, {"methods": lent})
    for name in ("cam", "worse"):
        found = traits_of(config, name)
        assert (found["signs"], found["alignments"], found["families"]) == (("unsigned",), ("layer",), ("control",))
    assert traits_of(config, "mine")["signs"] == ("unsigned",)
    assert traits_of(config, "integrated_gradients")["signs"] == ("signed",)
    assert {name for name in METHODS if METHODS[name].semantics["borrows"] in ("maps", "method")} == MADE_OF_OTHERS


REFUSED = {
    "scopes": (["aggregated"], "(accepted scope: aggregated): name one that it accepts in study.methods"),  # none is drawn
    "alignments": (["layer"], "its alignment: input; accepted: layer"),
    "families": (["cam", "shapley"], "its families: control; accepted: cam, shapley"),
    "signs": (["signed"], "its sign: unsigned; accepted: signed"),
}


@pytest.mark.parametrize("keyword", REFUSED)
def test_named_figure_of_a_method_that_it_cannot_draw_is_refused_before_any_job(invented, keyword):
    accepted, words = REFUSED[keyword]
    found = refused(named(invented(tables=["summary"], **{keyword: accepted})))
    assert found.startswith("study.figures: ")
    assert ("'random'; its" in found) == (keyword != "scopes")
    for part in ("'invented'", words, "leave the figure out"):
        assert part in found, found


def test_figure_that_is_not_named_leaves_out_what_it_cannot_draw_and_says_so(invented):
    config = invented(tables=["summary"], alignments=["layer"])
    check(config)
    assert methods_drawn(config, "invented") == ["grad_cam", "grad_cam_pp"]
    left = methods_left_out(config)["invented"]
    assert left == {"accepted alignment: layer": ["random", "saliency", "integrated_gradients", "lrp"]}
    assert "invented" in figures_of(config)


def test_figure_that_can_draw_nothing_is_left_out_and_refused_if_it_is_named(invented):
    config = invented(tables=["summary"], scopes=["aggregated"])
    check(config)
    assert "invented" not in figures_of(config)
    assert figures_left_out(config)["invented"].startswith("can draw no method of the study (accepted scope: aggregated)")
    assert "study.methods" in refused(named(config))


def test_figure_of_what_methods_report_is_about_those_that_report_it(config):
    config = changed(config, {"study.figures": ["quality"]})
    check(config)
    assert methods_drawn(config, "quality") == ["integrated_gradients", "lrp"]
    assert "quality" in refused(changed(config, {"study.methods": ["random", "saliency"]}))


def test_figure_draws_the_methods_that_the_config_names_for_it(invented):
    config = named(
        invented(tables=["summary"], families=["cam"]), **{"figures.invented": {"methods": ["grad_cam_pp", "grad_cam"]}}
    )
    check(config)
    assert methods_drawn(config, "invented") == ["grad_cam", "grad_cam_pp"]
    told = params.plot_figure(config, type("Job", (), {"figure": "invented"}))
    assert told["study"]["methods"] == ["grad_cam", "grad_cam_pp"]
    assert told["options"] == {}


@pytest.mark.parametrize(
    ("figure", "methods", "message"),
    [
        ("srg", ["lpr"], "figures.srg.methods: unknown method of the study 'lpr'. Did you mean 'lrp'?"),
        ("srg", [], "figures.srg.methods must be a list of methods of the study, at least one. Got []"),
        ("srg", "lrp", "figures.srg.methods must be a list of methods of the study, at least one. Got 'lrp'"),
        ("accuracy", ["lrp"], "figures.accuracy.methods: this figure shows no single methods"),
        (
            "quality",
            ["saliency"],
            "figure 'quality' cannot draw method 'saliency'; its extra numbers: none; accepted: completeness",
        ),
    ],
)
def test_methods_of_a_figure_must_be_ones_that_it_can_draw(config, figure, methods, message):
    assert message in refused(changed(config, {f"figures.{figure}": {"methods": methods}}))


def test_method_of_the_trajectories_must_be_among_their_methods(config):
    chosen = {"figures.trajectories": {"methods": ["lrp", "random"], "method": "saliency"}}
    assert "figures.trajectories.method: unknown method of the study 'saliency'" in refused(changed(config, chosen))


def test_images_with_other_channels_than_a_figure_draws_are_refused(invented):
    config = invented(arrays=["images"], channels=[3])
    assert "invented" in figures_left_out(config)
    found = refused(named(config))
    assert "'invented' cannot draw the images of 'digits': their channels: 1; accepted: 3" in found
    colours = {"datasets.digits.source": "folder", "datasets.digits.path": "."}
    assert "invented" not in figures_left_out(changed(config, colours))
    assert "invented" in figures_left_out(changed(config, {**colours, "datasets.digits.grey": True}))


@pytest.mark.parametrize("source", ["npz", "folder", "digit"])
def test_data_set_that_is_wrong_is_left_to_its_own_check(config, source):
    assert channels_of({**config["datasets"]["digits"], "source": source, "path": None}) is None


@pytest.mark.parametrize("name", REAL)
def test_caption_is_read_by_the_report_without_a_warning(config, name):
    """Snakemake's report reads captions as reStructuredText, in which a lone star or backquote swallows what follows."""
    settings = {"report_level": 5, "halt_level": 2}
    document = publish_doctree(caption_of(config, name, "ce"), settings_overrides=settings)
    assert {type(node).__name__ for node in document.findall()} <= {"document", "paragraph", "emphasis", "Text"}


@pytest.mark.parametrize("name", REAL)
def test_caption_says_whether_a_figure_shows_single_images(config, name):
    semantics, caption = REAL[name].semantics, caption_of(config, name, "ce")
    text = REAL[name].text
    check_scope(semantics, name)
    if semantics["produces"] == "local":
        assert caption.endswith("Scope: single images.")
        assert not re.search(r"mean over|random-effects|aggregated|over (seeds|images)", text)
        assert "attributions" in semantics["arrays"] or "curves" in semantics["arrays"]
    else:
        over = " and ".join(f"{axis}s" for axis in semantics["over"])
        assert caption.endswith(f"Scope: aggregated over {over}.")
        assert "single image" not in text
    assert params.plot_figure(config, type("Job", (), {"figure": name}))["scope"] == scope_of(semantics)


def test_local_figures_are_the_pictures():
    assert {name for name in REAL if REAL[name].semantics["produces"] == "local"} == {"gallery", "overlay", "trajectories"}


@pytest.mark.parametrize(
    "keywords",
    [
        {"produces": "local", "over": ["image"], "scope_defined_by": "explainer"},
        {"produces": "aggregated", "over": []},
        {"produces": "local", "over": [], "scope_defined_by": "summary"},
    ],
)
def test_figure_that_contradicts_itself_is_refused(invented, keywords):
    assert "figure 'invented' must declare" in refused(invented(**keywords))


def test_figure_says_who_took_the_mean(invented):
    caption = caption_of(invented(scope_defined_by="explainer"), "invented", None)
    assert caption == "A text. Scope: aggregated over images by the method itself."


def test_scope_must_be_said_and_is_never_global():
    with pytest.raises(ClxaiError, match="lacks the keyword 'produces': one of local, aggregated"):
        checked_keywords({}, keywords_of("figures"), "here")
    with pytest.raises(ClxaiError, match="produces 'global' is refused: it is reserved"):
        checked_keywords({"produces": "global"}, keywords_of("figures"), "here")
    assert set(ACCEPTS) <= set(FIGURES.keywords)
