"""Cross-entropy of a classification layer."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.losses.base import loss


@loss("cross_entropy", top="classifier", views=1, options={"label_smoothing": 0.0}, at_most={"label_smoothing": 1.0})
def cross_entropy(
    outputs: Float[Tensor, "view class"], labels: Int[Tensor, " view"], label_smoothing: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of logits with integer labels."""
    return functional.cross_entropy(outputs.float(), labels, label_smoothing=label_smoothing)
