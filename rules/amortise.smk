rule pool_teachers:
    """Gather the maps of other methods on training images, without duplicates and those that the images' own masks refute."""
    input:
        bank=bank_learnt("sample"),
        maps=teacher_files,
        code=code("pool_teachers"),
    output:
        pool=POOL,
        table=f"{RUN}/explainers/{{method}}/pool.csv",
    log:
        f"{RUN}/logs/pool_teachers/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/pool_teachers/{{method}}.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        config=params_of("pool_teachers"),
    script:
        "../workflow/scripts/pool_teachers.py"


rule train_explainer:
    """Train one explainer of a method on the mask bank of training images, its epoch chosen by that of validation images."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        bank=bank_learnt("sample"),
        validation=bank_learnt("validation"),
        pool=pool_file,
        own=own("train_explainer"),
        code=code("train_explainer"),
    output:
        explainer=EXPLAINER,
        record=f"{LEARNT}/training.json",
        history=f"{LEARNT}/history.csv",
    log:
        f"{RUN}/logs/train_explainer/{{method}}/{{explainer}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_explainer/{{method}}/{{explainer}}.tsv"
    wildcard_constraints:
        explainer=r"\d+",
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="12h",
    params:
        config=params_of("train_explainer"),
    script:
        "../workflow/scripts/train_explainer.py"


rule explainers_all:
    """Target: all explainers that methods of the study ask; none for a study without such methods."""
    input:
        expand(
            files_of_explainers(rules.train_explainer.output.explainer),
            dataset=STUDY["datasets"],
        ),
    localrule: True
