"""Side-by-side measurements: each part of the engine against a peer, on the machine at hand, as ratios of one run.

python -m benchmarks                      all comparisons, quick sizes
python -m benchmarks flips heads --full   some of them, full sizes
python -m benchmarks --device cuda        on a GPU, timed with device events
"""
