"""What was drawn anew of a network whose maps are lent: some of its parts, or the labels that it learnt."""

LABELS = "labels"  # of a network that learnt permuted ones


def parts_of(random: str) -> list[str]:
    """Return the parts of a network that were drawn anew; none where its labels were random."""
    return [] if random == LABELS else random.split("+")
