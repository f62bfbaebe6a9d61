rule fit_heads:
    """Fit every head of a model on its training embeddings, its temperature on noisy validation images, its metrics on test."""
    input:
        labels=rules.prepare_data.output.labels,
        images=rules.prepare_data.output.images,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        own=own("fit_heads"),
        code=code("fit_heads"),
    output:
        metrics=f"{RUN}/heads/metrics.csv",
        heads=head_files(STUDY["heads"]),
    log:
        f"{RUN}/logs/fit_heads.log",
    benchmark:
        f"{RUN}/benchmarks/fit_heads.tsv"
    wildcard_constraints:
        model=alternatives(models_with(STUDY["heads"])),
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        config=params_of("fit_heads"),
    script:
        "../workflow/scripts/fit_heads.py"


use rule fit_heads as fit_heads_without_classifier with:
    # The same for models that have no classifier of their own, hence no softmax head.
    output:
        metrics=f"{RUN}/heads/metrics.csv",
        heads=head_files(heads_of_all(config)),
    wildcard_constraints:
        model=alternatives(
            set(models_explained(config)) - set(models_with(STUDY["heads"]))
        ),


rule heads_all:
    """Target: all heads and their metrics."""
    input:
        [
            expand(
                [f"{RUN}/heads/metrics.csv", *head_files(heads_of(config, model))],
                dataset=STUDY["datasets"],
                model=model,
                seed=STUDY["seeds"],
            )
            for model in models_explained(config)
        ],
    localrule: True
