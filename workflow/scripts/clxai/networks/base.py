"""The family of networks: modules from normalised images [image, channel, y, x] to embeddings [image, feature].

    @network("name", layers=("conv1", "conv2"), smallest=16, lrp="sequential", options={"width": 32})
    def name(options: Mapping[str, Any], channels: int) -> nn.Module

Any module that gives one embedding an image can be a member, whatever its layers. What it has to keep: each activation is a
module of its own, used once and not in place (attribution hooks need its input), and each batch norm stands directly after its
convolution, in the same parent (it is folded into it).

layers: submodules with a spatial output that class activation maps can take, by name, in the order of the flow; methods call the
last one `last`. smallest: the least side of an image in pixels, or one for each stem: then the options have a `stem`, which may
be `auto`. lrp: how relevance propagation prepares the network, "sequential" (batch norms are merged), "residual" (the same, and
each addition, a module `blocks.Add`, becomes a sum with a rule), or null where it has no rules for it.

A network in a user's own file, `path/to/file.py:name`, may be any module, see `foreign`. It also says, where that is so: size,
the only [y, x] of images that it takes; channels, their number; embedding, the submodule whose output is the embedding, where the
module itself returns something else; classifier, its last linear layer, which gives the softmax head: the embedding is then what
that layer takes; normalise, a pair, the means and the standard deviations, per channel, of the images that it was trained on.
"""

from clxai.registry import Family

NETWORKS = Family(
    "networks",
    keywords={
        "layers": {"type": "array", "items": {"type": "string"}},
        "smallest": {"type": ["integer", "object"], "additionalProperties": {"type": "integer"}, "minimum": 1},
        "lrp": {"enum": [None, "sequential", "residual"], "default": None},
        "size": {"type": ["null", "array"], "items": {"type": "integer"}, "minItems": 2, "maxItems": 2, "default": None},
        "channels": {"type": ["null", "integer"], "minimum": 1, "default": None},
        "embedding": {"type": ["null", "string"], "default": None},
        "classifier": {"type": ["null", "string"], "default": None},
        "normalise": {
            "type": ["null", "array"],
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 1},
            "minItems": 2,
            "maxItems": 2,
            "default": None,
        },
    },
)
network = NETWORKS.register
