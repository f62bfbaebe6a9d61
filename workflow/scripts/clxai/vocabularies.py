"""The closed words by which explanations, analyses and pictures say what they are and take; free of imports, read while planning.

The `base` module of a family names them in the schemas of its keywords: a word that is not among them is refused before any job
starts, with the nearest one.
"""

# What a method is of; it may be of several, the first is the one that it is sorted by. control: an explanation has to beat it.
# amortised: a network that was trained to explain. given: maps in files.
FAMILIES = (
    *("gradient", "cam", "propagation", "perturbation", "shapley", "surrogate"),
    *("counterfactual", "concept", "amortised", "control", "given"),
)
# What values belong to before they are brought to pixels: a value of the input, a unit of the flipping, a place of a layer.
ALIGNMENTS = ("input", "unit", "layer")
# What a result is about: one image, or a sample of images. A mean over images is aggregated, whatever it is a mean of.
SCOPES = ("local", "aggregated")
RESERVED_SCOPES = {
    "global": "it is reserved for what is proved for a whole data set, which nothing here does; of a sample it is 'aggregated'"
}
# Where the scope comes from: the explainer itself, or what summarised its results.
SCOPE_STEPS = ("explainer", "summary")
# What an explainer returns: maps of images; whoever owns the whole way from images to result, the kinds of analyses.
MAPS = ("attributions",)
STRUCTURED = ("table", "neighbours", "counterfactual", "layer_effects")
PAYLOADS = (*MAPS, *STRUCTURED)
# How the table of a study has the numbers of an analysis: their mean, those of each run, p-values of each run, or not at all.
SHOWN = ("mean", "each", "test", "none")
# How a result depends on chance: not at all, or by numbers keyed by purpose, seed and image; never by a global generator.
SEEDINGS = ("none", "keyed")
# How many images stand for nothing: one for each image that is explained, or a set of training images for all of them.
CARDINALITIES = ("single", "set")
# In what sense values add up to m(x) - m(b): not at all, each time (but for what is integrated), or in expectation over a draw.
COMPLETENESS = ("none", "exact", "expectation")
# Axes of the numbers that an explainer returns besides, and what these are measured in; log-odds are in nat.
AXES = (
    *("image", "reference", "channel", "y", "x", "head", "step", "fill", "order", "unit", "class", "feature", "mask", "seed"),
    *("layer", "concept", "features", "task", "direction"),
)
# own: a distance as a head measures it; class and image: a number of one.
MEASURED_IN = ("nat", "1", "count", "embedding", "own", "class", "image")
# Whether negative values mean evidence against the class.
SIGNS = ("signed", "unsigned")
