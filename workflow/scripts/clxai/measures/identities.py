"""The metrics that the self-checks read: a study measures them in any case. Free of imports, so that planning stays quick."""

IDENTITIES = {  # each gain is the first area minus the second
    "srg": ("auc_insertion", "auc_deletion"),
    "srg_matched": ("auc_insertion_matched", "auc_deletion_matched"),
    "srg_kept": ("auc_insertion_kept", "auc_deletion_kept"),
}
CHECKED_METRICS = tuple(name for gain, areas in IDENTITIES.items() for name in (*areas, gain))
