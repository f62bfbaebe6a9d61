rule measure_stability:
    """Explain the images of a sample with a little noise, several times, and measure how far maps, orders and scores move."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=rules.sample_images.output,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        own=own("measure_stability"),
        code=code("measure_stability"),
    output:
        f"{RUN}/stability/{{sample}}/{{units}}/{{method}}.nc",
    log:
        f"{RUN}/logs/measure_stability/{{sample}}/{{units}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/measure_stability/{{sample}}/{{units}}/{{method}}.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="12h",
    params:
        config=params_of("measure_stability"),
    script:
        "../workflow/scripts/measure_stability.py"


rule summarise_stability:
    """Means of all measures of stability with intervals, beside the SRG of the same maps; for studies that ask for them."""
    input:
        stability=runs(
            rules.measure_stability.output,
            params.summarise_stability(config, None)["methods"],
        ),
        summary=rules.summarise.output.summary,
        labels=rules.prepare_data.output.labels,
        code=code("summarise_stability"),
    output:
        stability=table("stability"),
    log:
        f"{HOME}/logs/summarise_stability.log",
    benchmark:
        f"{HOME}/benchmarks/summarise_stability.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        config=params_of("summarise_stability"),
    script:
        "../workflow/scripts/summarise_stability.py"


rule stability_all:
    """Target: the table of stability and what it was made from; none for a study that does not ask for it."""
    input:
        expand(
            runs(
                rules.measure_stability.output,
                params.summarise_stability(config, None)["methods"],
            ),
            dataset=STUDY["datasets"],
        ),
        expand(rules.summarise_stability.output, dataset=datasets_with("stability")),
    localrule: True
