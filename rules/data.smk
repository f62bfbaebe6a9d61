rule prepare_data:
    """Read a data set once: check it, split it, store it as memory-mapped uint8 images."""
    input:
        code=code("prepare_data"),
    output:
        images="results/{dataset}/data/images.npy",
        labels="results/{dataset}/data/labels.nc",
        sources="results/{dataset}/data/sources.csv",
    log:
        "results/{dataset}/logs/prepare_data.log",
    benchmark:
        "results/{dataset}/benchmarks/prepare_data.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        config=params_of("prepare_data"),
    script:
        "../workflow/scripts/prepare_data.py"


rule sample_images:
    """Draw the images of a named sample, such as those that are explained and flipped: seeded, stratified, the same for all models."""
    input:
        rules.prepare_data.output.images,
        rules.prepare_data.output.labels,
        code=code("sample_images"),
    output:
        "results/{dataset}/data/samples/{sample}.csv",
    log:
        "results/{dataset}/logs/sample_images_{sample}.log",
    benchmark:
        "results/{dataset}/benchmarks/sample_images_{sample}.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("sample_images"),
    script:
        "../workflow/scripts/sample_images.py"
