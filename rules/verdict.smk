rule rank_metrics:
    """Rank the methods by each metric in the direction that it declares, from all tables of the study that have such metrics."""
    input:
        summary=rules.summarise.output.summary,
        beside=[
            *(rules.summarise_stability.output if datasets_with("stability") else []),
            *(
                rules.compare_classes.output
                if datasets_with("class_similarity")
                else []
            ),
        ],
        code=code("rank_metrics"),
    output:
        metric_ranks=table("metric_ranks"),
    log:
        f"{HOME}/logs/rank_metrics.log",
    benchmark:
        f"{HOME}/benchmarks/rank_metrics.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("rank_metrics"),
    script:
        "../workflow/scripts/rank_metrics.py"


rule state_verdict:
    """State what the tables allow to say: found, not found, cannot be said; sentences made by the rules in clxai/verdict."""
    input:
        summary=rules.summarise.output.summary,
        contrasts=rules.summarise.output.contrasts,
        variance=rules.summarise.output.variance,
        heads=rules.summarise.output.heads,
        models=rules.summarise.output.models,
        trust=rules.assess_trust.output.trust,
        trust_contrasts=rules.assess_trust.output.trust_contrasts,
        trust_claims=rules.assess_trust.output.claims,
        trust_left_out=rules.assess_trust.output.left_out,
        checks=rules.check_study.output[0],
        code=code("state_verdict"),
    output:
        markdown=f"{HOME}/verdict.md",
        html=verdict_page(),
        design=f"{HOME}/verdict.json",
    log:
        f"{HOME}/logs/state_verdict.log",
    benchmark:
        f"{HOME}/benchmarks/state_verdict.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("state_verdict"),
    script:
        "../workflow/scripts/state_verdict.py"


rule describe_methods:
    """Say what each method of the study is, what it was made with, what stood for nothing, and how many of its maps say nothing."""
    input:
        methods=rules.summarise.output.methods,
        attributions=over_models(
            rules.attribute.output.maps,
            STUDY["models"],
            seed=STUDY["seeds"][0],
            sample=STUDY["sample"],
        ),
        code=code("describe_methods"),
    output:
        methods_page(),
    log:
        f"{HOME}/logs/describe_methods.log",
    benchmark:
        f"{HOME}/benchmarks/describe_methods.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("describe_methods"),
    script:
        "../workflow/scripts/describe_methods.py"


rule describe_results:
    """List what was measured: settings, a sentence for each metric, ranks and means as Markdown, the same as JSON, and a CSV of each metric."""
    input:
        ranks=rules.rank_metrics.output[0],
        code=code("describe_results"),
    output:
        markdown=f"{HOME}/results.md",
        record=f"{HOME}/results.json",
        by_metric=directory(f"{HOME}/tables/metrics"),
    log:
        f"{HOME}/logs/describe_results.log",
    benchmark:
        f"{HOME}/benchmarks/describe_results.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        config=params_of("describe_results"),
    script:
        "../workflow/scripts/describe_results.py"


rule verdict_all:
    """Target: the pages of every data set: the verdict, from checked tables, and its methods, and its results metric by metric."""
    input:
        expand(rules.rank_metrics.output, dataset=STUDY["datasets"]),
        expand(rules.state_verdict.output, dataset=STUDY["datasets"]),
        expand(rules.describe_methods.output, dataset=STUDY["datasets"]),
        expand(rules.describe_results.output, dataset=STUDY["datasets"]),
    localrule: True
