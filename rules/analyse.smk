rule analyse:
    """Analyse a trained run as a whole by one analysis, on the images of a sample: a table, neighbours, counterfactuals, no maps."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=rules.sample_images.output,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        own=own("analyse"),
        code=code("analyse"),
    output:
        f"{RUN}/analyses/{{sample}}/{{analysis}}.nc",
    log:
        f"{RUN}/logs/analyse/{{sample}}/{{analysis}}.log",
    benchmark:
        f"{RUN}/benchmarks/analyse/{{sample}}/{{analysis}}.tsv"
    wildcard_constraints:
        analysis=alternatives(analysed(config)),
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        config=params_of("analyse"),
    script:
        "../workflow/scripts/analyse.py"


rule summarise_analyses:
    """Table what analyses found: means with intervals over images and seeds, p-values of each run with their correction."""
    input:
        analyses=files_of_analyses(rules.analyse.output[0]),
        labels=rules.prepare_data.output.labels,
        code=code("summarise_analyses"),
    output:
        table("analyses"),
    log:
        f"{HOME}/logs/summarise_analyses.log",
    benchmark:
        f"{HOME}/benchmarks/summarise_analyses.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="20m",
    params:
        config=params_of("summarise_analyses"),
    script:
        "../workflow/scripts/summarise_analyses.py"


rule analyses_all:
    """Target: the table of all analyses, and what it was made from; nothing for a study that names none."""
    input:
        expand(
            [
                *files_of_analyses(rules.analyse.output[0]),
                *(rules.summarise_analyses.output if STUDY["analyses"] else []),
            ],
            dataset=STUDY["datasets"],
        ),
    localrule: True
