rule train_model:
    """Train one recipe with one seed, from the weights of another model if it has a start."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        start=start_file,
        own=own("train_model"),
        code=code("train_model"),
    output:
        model=f"{RUN}/model.safetensors",
        record=f"{RUN}/training.json",
        history=f"{RUN}/history.csv",
    log:
        f"{RUN}/logs/train_model.log",
    benchmark:
        f"{RUN}/benchmarks/train_model.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="12h",
    params:
        config=params_of("train_model"),
    script:
        "../workflow/scripts/train_model.py"


rule embed_images:
    """Embed every image of the data set once; heads, scores and figures share the result."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        model=rules.train_model.output.model,
        own=own("embed_images"),
        code=code("embed_images"),
    output:
        f"{RUN}/embeddings.nc",
    log:
        f"{RUN}/logs/embed_images.log",
    benchmark:
        f"{RUN}/benchmarks/embed_images.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="2h",
    script:
        "../workflow/scripts/embed_images.py"


rule models_all:
    """Target: all trained models, those that others start from too, and the embeddings of those that are explained."""
    input:
        expand(
            rules.train_model.output,
            dataset=STUDY["datasets"],
            model=models_needed(config),
            seed=STUDY["seeds"],
        ),
        expand(
            rules.embed_images.output,
            dataset=STUDY["datasets"],
            model=models_explained(config),
            seed=STUDY["seeds"],
        ),
    localrule: True
