rule summarise:
    """Measure every curve, then means with random-effects intervals, contrasts of models, variance components, and what maps rank."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        curves=runs(rules.flip.output),
        attributions=runs(rules.attribute.output.maps),
        banks=files_of_banks(rules.mask_bank.output, banks_measured(config)),
        heads=runs(f"{RUN}/heads/metrics.csv"),
        records=runs(rules.train_model.output.record),
        code=code("summarise"),
    output:
        images=f"{HOME}/tables/images.csv",
        summary=table("summary"),
        curves=f"{HOME}/tables/curves.csv",
        contrasts=table("contrasts"),
        power=table("power"),
        variance=table("variance"),
        maps=table("maps"),
        methods=table("methods"),
        heads=table("heads"),
        models=table("models"),
    log:
        f"{HOME}/logs/summarise.log",
    benchmark:
        f"{HOME}/benchmarks/summarise.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        config=params_of("summarise"),
    script:
        "../workflow/scripts/summarise.py"


rule assess_trust:
    """Measure the test itself: whether set-ups, seeds and images agree on methods, and whether it finds what is known."""
    input:
        images=rules.summarise.output.images,
        code=code("assess_trust"),
    output:
        trust=table("trust"),
        trust_contrasts=table("trust_contrasts"),
        claims=table("trust_claims"),
        left_out=table("trust_left_out"),
    log:
        f"{HOME}/logs/assess_trust.log",
    benchmark:
        f"{HOME}/benchmarks/assess_trust.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        config=params_of("assess_trust"),
    script:
        "../workflow/scripts/assess_trust.py"


rule compare_maps:
    """Measure how alike the maps of trained networks and of their randomised copies look; for studies that have such copies."""
    input:
        attributions=runs(
            rules.attribute.output.maps, params.compare_maps(config, None)["methods"]
        ),
        curves=curves_of_each_cut(rules.flip.output),
        labels=rules.prepare_data.output.labels,
        code=code("compare_maps"),
    output:
        similarity=table("similarity"),
    log:
        f"{HOME}/logs/compare_maps.log",
    benchmark:
        f"{HOME}/benchmarks/compare_maps.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        config=params_of("compare_maps"),
    script:
        "../workflow/scripts/compare_maps.py"


rule compare_classes:
    """Measure how alike the maps of a method for two classes are; for studies that show one with its wrong_class."""
    input:
        attributions=runs(
            rules.attribute.output.maps,
            params.compare_classes(config, None)["methods"],
        ),
        curves=curves_of_each_cut(rules.flip.output),
        labels=rules.prepare_data.output.labels,
        code=code("compare_classes"),
    output:
        class_similarity=table("class_similarity"),
    log:
        f"{HOME}/logs/compare_classes.log",
    benchmark:
        f"{HOME}/benchmarks/compare_classes.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        config=params_of("compare_classes"),
    script:
        "../workflow/scripts/compare_classes.py"


rule check_study:
    """Self-checks: SRG identity, completeness, LRP conservation, a random attribution that scores 0, maps that rank, accuracy. One that fails stops the study."""
    input:
        images=rules.summarise.output.images,
        heads=rules.summarise.output.heads,
        maps=rules.summarise.output.maps,
        curves=rules.summarise.output.curves,
        attributions=runs(rules.attribute.output.maps),
        code=code("check_study"),
    output:
        table("checks"),
    log:
        f"{HOME}/logs/check_study.log",
    benchmark:
        f"{HOME}/benchmarks/check_study.tsv"
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        config=params_of("check_study"),
    script:
        "../workflow/scripts/check_study.py"


rule rank_methods:
    """Rank the methods beside their cost. Among the benchmarks, since seconds differ from run to run; what was not timed stays empty."""
    input:
        summary=rules.summarise.output.summary,
        maps=rules.summarise.output.maps,
        code=code("rank_methods"),
    output:
        report(
            f"{HOME}/benchmarks/ranking.csv",
            caption="../workflow/report/table_ranking.rst",
            category="{dataset}",
            subcategory="Tables",
            labels={"figure": "table: ranking", "model": "all"},
        ),
    log:
        f"{HOME}/logs/rank_methods.log",
    benchmark:
        f"{HOME}/benchmarks/rank_methods.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("rank_methods"),
        seconds=lambda wildcards: expand(
            runs(str(rules.attribute.benchmark)), dataset=wildcards.dataset
        ),
    script:
        "../workflow/scripts/rank_methods.py"


rule tables_all:
    """Target: all tables, checked."""
    input:
        expand(rules.summarise.output, dataset=STUDY["datasets"]),
        expand(rules.assess_trust.output, dataset=STUDY["datasets"]),
        expand(rules.check_study.output, dataset=STUDY["datasets"]),
        expand(rules.compare_maps.output, dataset=datasets_with("similarity")),
        expand(
            rules.compare_classes.output,
            dataset=datasets_with("class_similarity"),
        ),
        expand(rules.rank_methods.output, dataset=STUDY["datasets"]),
    localrule: True
