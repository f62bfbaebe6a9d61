rule attribute:
    """Explain every head's own log-odds on the images of a sample by one method."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=rules.sample_images.output,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        maps=map_files,
        borrowed=borrowed_files,
        bank=bank_files,
        explainers=explainer_files,
        given=given_files,
        own=own("attribute"),
        code=code("attribute"),
    output:
        maps=f"{RUN}/attributions/{{sample}}/{{method}}.nc",
        record=f"{RUN}/attributions/{{sample}}/{{method}}.json",
    log:
        f"{RUN}/logs/attribute/{{sample}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/attribute/{{sample}}/{{method}}.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        config=params_of("attribute"),
    script:
        "../workflow/scripts/attribute.py"


rule attributions_all:
    """Target: all attributions, those that others need too."""
    input:
        expand(files_of_maps(rules.attribute.output.maps), dataset=STUDY["datasets"]),
    localrule: True
