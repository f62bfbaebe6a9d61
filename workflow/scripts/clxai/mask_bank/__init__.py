"""Images under many masks: drawn once, seen once by the network, read by methods that are means or regressions over them."""
