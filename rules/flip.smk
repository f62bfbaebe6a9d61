rule flip:
    """Remove units in the order of an attribution and follow every head's score and the embedding, in one pass."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        attributions=rules.attribute.output.maps,
        own=own("flip"),
        code=code("flip"),
    output:
        f"{RUN}/curves/{{sample}}/{{units}}/{{method}}.nc",
    log:
        f"{RUN}/logs/flip/{{sample}}/{{units}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/flip/{{sample}}/{{units}}/{{method}}.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        config=params_of("flip"),
    script:
        "../workflow/scripts/flip.py"


rule curves_all:
    """Target: all flipping curves."""
    input:
        expand(runs(rules.flip.output), dataset=STUDY["datasets"]),
    localrule: True
