localrules:
    plot_figure_of_model,  # what a rule inherits does not include that it is local


rule plot_figure:
    """Draw one figure from the checked tables, or from arrays of the first seed: a function in clxai/figures."""
    input:
        unpack(
            figure_inputs(
                {
                    **dict(rules.summarise.output.items()),
                    **dict(rules.assess_trust.output.items()),
                    **dict(rules.compare_maps.output.items()),
                    **dict(rules.summarise_stability.output.items()),
                    **dict(rules.rank_metrics.output.items()),
                    "analyses": rules.summarise_analyses.output,
                    "checks": rules.check_study.output,
                },
                images=[
                    rules.prepare_data.output.images,
                    rules.prepare_data.output.labels,
                ],
                embeddings=rules.embed_images.output,
                attributions=rules.attribute.output.maps,
                curves=rules.flip.output,
            )
        ),
        checks=rules.check_study.output,
        code=code("plot_figure"),
    output:
        svg=figure("{figure}"),
        pdf=f"{HOME}/figures/{{figure}}.pdf",
    log:
        f"{HOME}/logs/plot_{{figure}}.log",
    benchmark:
        f"{HOME}/benchmarks/plot_{{figure}}.tsv"
    wildcard_constraints:
        figure=alternatives(figures_of(config, "study")),
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="20m",
    params:
        config=params_of("plot_figure"),
    script:
        "../workflow/scripts/plot_figure.py"


use rule plot_figure as plot_figure_of_model with:
    # The same for figures that are drawn for each model.
    output:
        svg=figure("{figure}_{model}"),
        pdf=f"{HOME}/figures/{{figure}}_{{model}}.pdf",
    log:
        f"{HOME}/logs/plot_{{figure}}_{{model}}.log",
    benchmark:
        f"{HOME}/benchmarks/plot_{{figure}}_{{model}}.tsv"
    wildcard_constraints:
        figure=alternatives(figures_of(config, "model")),


rule figures_all:
    """Target: all figures."""
    input:
        expand(
            rules.plot_figure.output,
            dataset=STUDY["datasets"],
            figure=figures_of(config, "study"),
        ),
        expand(
            rules.plot_figure_of_model.output,
            dataset=STUDY["datasets"],
            figure=figures_of(config, "model"),
            model=STUDY["models"],
        ),
    localrule: True
