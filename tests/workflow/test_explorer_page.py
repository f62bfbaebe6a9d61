"""The explorer in a real Chromium, opened from disk: every control works, and the numbers are those of tables and curves."""

import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.explorer import page as pages
from clxai.explorer.packing import LEVELS, rounded
from explored import CLASSES, FILLS, HEADS, METRICS, N_FOLLOWED, UNITS, Invented

pytestmark = [pytest.mark.xdist_group("explorer"), pytest.mark.filterwarnings("ignore::ResourceWarning")]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, or the one that CLXAI_CHROMIUM names."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CLXAI_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is on the path, and CLXAI_CHROMIUM names none")
    with playwright.sync_playwright() as started:
        yield (running := started.chromium.launch(executable_path=program, args=["--no-sandbox"]))
        running.close()


def built(content, folder):
    """The page of a study below a folder."""
    pages.write_page(
        "tiny, digits: explorer", content.slices(), folder / "explorer" / "index.html", folder / "explorer" / "slices"
    )
    return folder / "explorer" / "index.html"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The study, and its page; most of its slices lie beside it."""
    folder, room = tmp_path_factory.mktemp("explored"), pages.INLINE_BYTES
    content = Invented(folder).content()
    pages.INLINE_BYTES = 100_000
    try:
        return content, built(content, folder)
    finally:
        pages.INLINE_BYTES = room


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all tests; what its console says is an error."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    return opened


@pytest.fixture
def view(tab, study):
    """The page as it opens, without a state from before."""

    def show(state=""):
        tab.goto("about:blank")
        tab.goto(study[1].as_uri() + state)
        return settled(tab)

    yield show
    assert tab.said == []


def settled(tab):
    """The tab once it has drawn what its address asks for."""
    tab.wait_for_function("document.body.dataset.drawn && document.body.dataset.drawn === location.hash")
    return tab


def address(tab):
    """What the address keeps, by key."""
    return tab.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def choose(tab, control, value):
    tab.select_option(f"#{control}", value)
    return settled(tab)


def number(text):
    return None if text == "–" else float(text.replace("−", "-"))


def metrics(tab):
    """The table of metrics, by metric: the better direction, then value and mean of the study of each side."""
    rows = tab.eval_on_selector_all("#metrics tbody tr", "rows => rows.map(row => Array.from(row.cells, cell => cell.innerText))")
    return {name.split()[0]: cells for name, *cells in rows}


def canvas(tab, place, side=1):
    """The pixels of a picture, uint8 [y, x, channel]."""
    pixels = tab.eval_on_selector(
        f".side:nth-child({side}) .pictures figure:nth-child({place}) canvas",
        "c => [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]",
    )
    return np.array(pixels[2:], np.uint8).reshape(pixels[0], pixels[1], 4)[..., :3]


STATES = (
    ("ce", 0, "grid", "saliency", "softmax", "mean"),
    ("ce", 1, "frames", "random", "knn", "linear"),
    ("supcon", 1, "grid", "saliency", "knn", "nun"),
)


@pytest.mark.parametrize(("model", "seed", "units", "method", "head", "fill"), STATES)
def test_metrics_shown_are_those_of_the_tables(study, view, model, seed, units, method, head, fill):
    content, image = study[0], study[0].index[2]
    tab = view(f"#a={model},{seed},{method},{head}&units={units}&fill={fill}&image={image}")
    where = {"model": model, "units": units, "method": method, "explained_by": head, "scored_by": head, "fill": fill}
    images, summary = pd.read_csv(content.files.images_table), pd.read_csv(content.files.summary_table)
    (own,) = chosen(images, **where, seed=seed, image=image).to_dict("records")
    shown = metrics(tab)
    assert set(shown) == set(METRICS)
    for name, (value, study_mean) in ((name, cells[1:]) for name, cells in shown.items()):
        assert number(value) == rounded(own[name]), name
        (row,) = chosen(summary, **where, metric=name).to_dict("records")
        mean, low, high = (number(text) for text in study_mean.replace("[", "").replace("]", "").replace(",", "").split())
        assert (mean, low, high) == (rounded(row["mean"]), rounded(row["ci_low"]), rounded(row["ci_high"]))


def chosen(table, **where):
    """The rows of a table with these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    return table


@pytest.mark.parametrize("score", ["probability_matched", "log_odds", "probability"])
def test_scores_shown_are_those_of_the_curves(study, view, score):
    """Of every head, at the step, to the precision that the page promises."""
    content, image, step = study[0], 3, 2
    tab = view(f"#a=ce,1,saliency,knn&image={content.index[image]}&step={step}&order=lerf&fill=blur&score={score}")
    curves = xarray.open_dataset(content.curves["ce", 1, "grid", "saliency"], engine="h5netcdf")
    at = {"explained_by": "knn", "fill": "blur", "order": "lerf", "image": content.index[image], "step": step}
    for head in HEADS["ce"]:
        cells = tab.eval_on_selector_all(f"tr[data-head={head}] td", "cells => cells.map(cell => cell.innerText)")
        stored = curves["log_odds" if score == "probability" else score]
        exact = float(stored.sel({**at, "scored_by": head}))
        exact = 1 / (1 + np.exp(-exact)) if score == "probability" else exact
        assert number(cells[1]) == pytest.approx(exact, abs=float(np.ptp(stored.values)) / LEVELS + 5e-4)
        predicted = CLASSES[int(curves["prediction"].sel({**at, "scored_by": head}))]
        assert cells[2].startswith(predicted)


@pytest.mark.parametrize(("fill", "order"), [("mean", "morf"), ("blur", "lerf"), ("nun", "morf")])
def test_page_perturbs_images_as_the_engine_does(study, view, fill, order):
    """The picture that the browser makes of image, order and fill is the image with these pixels replaced."""
    import torch
    from clxai.explorer.pictures import drawable
    from clxai.networks.embeddings import read_embeddings
    from clxai.runtime.artefacts import read_arrays

    content, image, step = study[0], 6, 3
    tab = view(f"#a=ce,0,saliency,knn&image={content.index[image]}&step={step}&order={order}&fill={fill}")
    cutting = content.cuttings["grid"]
    maps = read_arrays(content.attributions["ce", 0, "saliency"])["attribution"].values
    rank = cutting.ordered(maps, seed=0)[0][1, image].astype(np.int64)
    rank = 15 - rank if order == "lerf" else rank
    gone = cutting.cut.masks(torch.from_numpy(rank)[None], torch.tensor([12]), torch.tensor([image]))
    embeddings = read_embeddings(content.files.embeddings[0], content.data) if fill == "nun" else None
    (member,) = (one for one in content.fills if one.name == fill)
    filled = content.gallery.filled(member, slice(image, image + 1), embeddings)
    expected = drawable(torch.where(gone[:, None], filled, content.gallery.images[[image]]))[0]
    assert np.array_equal(canvas(tab, 4), expected.transpose(1, 2, 0))
    assert np.array_equal(canvas(tab, 1), drawable(content.gallery.images[[image]])[0].transpose(1, 2, 0))
    assert tab.inner_text("#removed") == "12 of 16 units (75 %) gone"


def test_fill_that_sees_the_mask_has_stored_pictures_or_says_so(study, view):
    content = study[0]
    tab = view(f"#fill=linear&step=2&image={content.index[0]}")
    assert tab.locator(".pictures canvas").count() == 4
    tab = view(f"#fill=linear&step=2&image={content.index[N_FOLLOWED]}")
    assert tab.locator(".pictures canvas").count() == 3
    assert f"stored for the first {N_FOLLOWED} images" in tab.inner_text(".pictures .mark")


CONTROLS = {
    **{"units": "frames", "fill": "blur", "order": "lerf", "score": "log_odds", "distance": "bank_distance"},
    **{"sort": "srg_matched", "direction": "down", "class": "4", "error": "wrong", "theme": "dark"},
}


def test_every_select_is_kept_in_the_address_and_comes_back_from_it(view):
    tab = view()
    for control, value in CONTROLS.items():
        choose(tab, control, value)
    for control, value in {"model": "supcon", "seed": "1", "method": "random", "head": "knn"}.items():
        choose(tab, f"a-{control}", value)
    kept = address(tab)
    assert {key: kept[key] for key in CONTROLS} == CONTROLS
    assert kept["a"] == "supcon,1,random,knn"
    tab = view("#" + tab.evaluate("location.hash.slice(1)"))
    assert address(tab) == kept
    assert {control: tab.input_value(f"#{control}") for control in CONTROLS} == CONTROLS
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"


def test_every_choice_draws_something_else(view):
    tab, seen = view("#step=2"), {}
    for control, value in {"a-model": "supcon", "a-seed": "1", "a-method": "random", "fill": "blur", "order": "lerf"}.items():
        seen[control] = tab.inner_html("#sides")
        choose(tab, control, value)
    choose(tab, "a-model", "ce")
    for control, value in {"a-head": "softmax", "score": "log_odds", "distance": "drift_l2", "units": "frames"}.items():
        seen[control] = tab.inner_html("#sides")
        choose(tab, control, value)
    seen["last"] = tab.inner_html("#sides")
    names = list(seen)
    assert [(one, other) for i, one in enumerate(names) for other in names[i + 1 :] if seen[one] == seen[other]] == []


def test_slider_and_keys_move_through_steps_and_images(view):
    tab = view()
    tab.locator("#step").fill("3")
    assert address(settled(tab))["step"] == "3"
    for key, expected in (("ArrowLeft", "2"), ("End", "4"), ("ArrowRight", "4"), ("Home", "0"), ("ArrowRight", "1")):
        tab.locator("body").press(key)
        assert address(settled(tab))["step"] == expected
    first = address(tab)["image"]
    tab.locator("body").press("ArrowDown")
    assert address(settled(tab))["image"] == str(int(first) + 1)
    tab.locator("body").press("ArrowUp")
    assert address(settled(tab))["image"] == first


def test_letters_walk_through_what_can_be_chosen(view):
    tab = view()
    tab.locator("h1").click()
    walk = {"h": "ce,0,saliency,knn", "m": "ce,0,random,knn", "s": "ce,1,random,knn", "o": "supcon,1,random,knn"}
    for key, expected in walk.items():
        tab.keyboard.press(key)
        assert address(settled(tab))["a"] == expected
    for key, name, expected in (
        ("f", "fill", "blur"),
        ("Shift+F", "fill", "mean"),
        ("r", "order", "lerf"),
        ("t", "theme", "light"),
    ):
        tab.keyboard.press(key)
        assert address(settled(tab))[name] == expected
    tab.keyboard.press("?")
    assert tab.locator("#keys").is_visible()
    tab.click("#help")
    assert not tab.locator("#keys").is_visible()


def test_play_goes_to_the_last_step_and_stops(view):
    tab = view("#step=2")
    tab.click("#play")
    tab.wait_for_function("new URLSearchParams(location.hash.slice(1)).get('step') === '4'")
    tab.wait_for_function("document.getElementById('play').innerText === 'Play'")


def images_shown(tab):
    """The images of the gallery as they follow each other on the screen."""
    cells = tab.eval_on_selector_all(
        ".item",
        "cells => cells.filter(c => c.style.display !== 'none').map(c => [Number(c.style.order), Number(c.dataset.image)])",
    )
    return [image for _, image in sorted(cells)]


def test_images_are_sorted_by_any_metric(study, view):
    """Rising and falling; where it is not defined they stand last; the number stands below the image."""
    content = study[0]
    where = {"model": "ce", "seed": 0, "units": "grid", "method": "saliency", "explained_by": "softmax", "scored_by": "softmax"}
    rows = chosen(pd.read_csv(content.files.images_table), **where, fill="mean").set_index("image")
    undefined = int(content.index[2])
    for name in METRICS:
        rising = [image for image in rows[name].sort_values().index if not (name == "path_length" and image == undefined)]
        last = [undefined] if name == "path_length" else []
        tab = view(f"#sort={name}&direction=up")
        assert images_shown(tab) == rising + last
        assert images_shown(choose(tab, "direction", "down")) == rising[::-1] + last
        text = tab.inner_text(f".item[data-image='{rising[0]}']").split("→")[0]
        assert number(text.strip()) == rounded(rows[name][rising[0]])


def test_images_are_filtered_by_class_and_error(study, view):
    content, targets = study[0], np.where(np.arange(12) % 7 == 3)[0]
    wrong = content.index[targets].tolist()
    tab = view("#error=wrong")
    assert images_shown(tab) == wrong
    assert tab.inner_text("#count").startswith(f"{len(wrong)} of 12 images, {len(wrong)} of them")
    assert images_shown(choose(tab, "error", "right")) == [image for image in content.index.tolist() if image not in wrong]
    choose(tab, "error", "all")
    label = int(content.data.labels[content.index[0]])
    expected = [image for image in content.index.tolist() if content.data.labels[image] == label]
    assert images_shown(choose(tab, "class", str(label))) == expected
    tab.click(f".item[data-image='{expected[-1]}']")
    assert address(settled(tab))["image"] == str(expected[-1])


def test_two_sides_are_shown_side_by_side(view):
    tab = view("#step=1")
    tab.click("#compare")
    settled(tab)
    choose(tab, "b-model", "supcon")
    assert address(tab)["b"].startswith("supcon,0,")
    assert tab.locator(".side").count() == 2
    assert tab.locator(".charts svg").count() == 6
    assert all(len(cells) == 5 for cells in metrics(tab).values())
    ticks = "all => all.map(svg => svg.querySelector('[aria-label=\"y-axis tick label\"]').textContent)"
    domains = tab.eval_on_selector_all(".side .charts figure:nth-child(2) svg", ticks)
    assert domains[0] == domains[1]
    tab.locator("h1").click()
    tab.keyboard.press("c")
    assert settled(tab).locator(".side").count() == 1


def test_address_with_names_that_the_study_lacks_opens_what_there_is(view):
    tab = view("#a=unknown,9,nothing,none&fill=paint&step=99&image=7&class=77&sort=beauty")
    assert address(tab)["a"] == "ce,0,random,softmax"
    assert address(tab)["step"] == "4"
    assert address(tab)["fill"] == FILLS[0]["name"]


def test_link_can_be_copied(view, browser, tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = view("#step=2")
    tab.click("#link")
    tab.wait_for_function("document.getElementById('link').innerText === 'Copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.evaluate("location.href")


def test_page_without_its_folder_says_what_is_missing(study, browser, tmp_path):
    """As in the report, which has the page alone."""
    shutil.copy(study[1], tmp_path / "index.html")
    opened = browser.new_page()
    opened.goto((tmp_path / "index.html").as_uri() + f"#a=supcon,1,saliency,knn&units={UNITS[1]['name']}")
    opened.wait_for_selector("#message:not([hidden])")
    assert "not in the page: keep the folder “slices” beside it" in opened.inner_text("#message")
    opened.close()


@pytest.mark.campaign
@pytest.mark.parametrize(("n_images", "side"), [(100, 32), (1000, 16)])
def test_first_paint_takes_less_than_two_seconds(browser, tmp_path, n_images, side):
    """From disk, without a cache; `drawn` is everything: images, curves and plane."""
    content = Invented(tmp_path, n_images=n_images, shape=(3, side, side), seeds=(0,)).content()
    path = built(content, tmp_path)
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    begun = time.perf_counter()
    opened.goto(path.as_uri())
    opened.wait_for_selector("body[data-drawn]")
    drawn = time.perf_counter() - begun
    paint = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    print(f"{n_images} images: first paint {paint:.2f} s, drawn {drawn:.2f} s, page {path.stat().st_size / 1e6:.1f} MB")
    assert paint < 2
    opened.close()
