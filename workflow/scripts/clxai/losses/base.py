"""The family of training losses: functions of what sits on top of the embedding and of labels, to a scalar in float32.

    @loss("name", top="projection", views=2, options={"temperature": 0.1})
    def name(outputs: Float[Tensor, "view output"], labels: Int[Tensor, " view"], temperature: float) -> Float[Tensor, ""]

top: what sits on the embedding, "classifier" (logits) or "projection" (a small network). views: augmented copies of each image in
a batch.
"""

from clxai.registry import Family

LOSSES = Family(
    "losses",
    keywords={
        "top": {"enum": ["classifier", "projection"]},
        "views": {"type": "integer", "minimum": 1, "default": 1},
    },
)
loss = LOSSES.register
