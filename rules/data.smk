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


rule export_images:
    """Write the images of a sample as PNG and npz with their ids, for whoever computes maps of their own; no part of a study."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=rules.sample_images.output,
        code=code("export_images"),
    output:
        directory("results/{dataset}/exported/{sample}"),
    log:
        "results/{dataset}/logs/export_images_{sample}.log",
    benchmark:
        "results/{dataset}/benchmarks/export_images_{sample}.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    script:
        "../workflow/scripts/export_images.py"


rule exported_all:
    """Target: the images that the study explains, of every data set."""
    input:
        expand(
            rules.export_images.output,
            dataset=STUDY["datasets"],
            sample=STUDY["sample"],
        ),
    localrule: True
