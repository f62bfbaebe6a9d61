rule figures_all:
    """Target: all figures."""
    localrule: True
