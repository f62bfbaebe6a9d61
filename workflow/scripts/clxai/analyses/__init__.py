"""Explainers that own the whole way from a trained run to a result that is no map: tables, neighbours, counterfactuals."""
