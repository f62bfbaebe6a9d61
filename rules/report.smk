rule plot_tables:
    """Draw accuracy, curves, SRG, cross-scoring, ranking, contrasts and drift from the checked tables."""
    input:
        heads=rules.summarise.output.heads,
        summary=rules.summarise.output.summary,
        curves=rules.summarise.output.curves,
        contrasts=rules.summarise.output.contrasts,
        checks=rules.check_study.output,
        code=code("plot_tables"),
    output:
        svg=[figure(name, "Figures") for name in TABLE_FIGURES],
        pdf=expand(
            f"{HOME}/figures/{{name}}.pdf", name=TABLE_FIGURES, allow_missing=True
        ),
    log:
        f"{HOME}/logs/plot_tables.log",
    benchmark:
        f"{HOME}/benchmarks/plot_tables.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="20m",
    params:
        config=params_of("plot_tables"),
    script:
        "../workflow/scripts/plot_tables.py"


rule plot_trajectories:
    """Draw the paths of a few images through the embedding plane while units are removed."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        embeddings=expand(
            rules.embed_images.output,
            model=STUDY["models"],
            seed=STUDY["seeds"][0],
            allow_missing=True,
        ),
        curves=expand(
            rules.flip.output,
            model=STUDY["models"],
            seed=STUDY["seeds"][0],
            sample=STUDY["sample"],
            units=UNITS[0],
            method=TRAJECTORY_METHODS,
            allow_missing=True,
        ),
        checks=rules.check_study.output,
        code=code("plot_trajectories"),
    output:
        svg=figure("trajectories", "Pictures"),
        pdf=f"{HOME}/figures/trajectories.pdf",
    log:
        f"{HOME}/logs/plot_trajectories.log",
    benchmark:
        f"{HOME}/benchmarks/plot_trajectories.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="20m",
    params:
        config=params_of("plot_trajectories"),
    script:
        "../workflow/scripts/plot_trajectories.py"


rule plot_gallery:
    """Draw the maps of one model: images by methods by heads."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        attributions=expand(
            rules.attribute.output,
            seed=STUDY["seeds"][0],
            sample=STUDY["sample"],
            method=STUDY["methods"],
            allow_missing=True,
        ),
        checks=rules.check_study.output,
        code=code("plot_gallery"),
    output:
        svg=report(
            f"{HOME}/figures/gallery_{{model}}.svg",
            caption="../workflow/report/gallery.rst",
            category="{dataset}",
            subcategory="Pictures",
            labels={"figure": "gallery", "model": "{model}"},
        ),
        pdf=f"{HOME}/figures/gallery_{{model}}.pdf",
    log:
        f"{HOME}/logs/plot_gallery_{{model}}.log",
    benchmark:
        f"{HOME}/benchmarks/plot_gallery_{{model}}.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="20m",
    params:
        config=params_of("plot_gallery"),
    script:
        "../workflow/scripts/plot_gallery.py"


rule figures_all:
    """Target: all figures."""
    input:
        expand(rules.plot_tables.output, dataset=STUDY["datasets"]),
        expand(rules.plot_trajectories.output, dataset=STUDY["datasets"]),
        expand(
            rules.plot_gallery.output, dataset=STUDY["datasets"], model=STUDY["models"]
        ),
    localrule: True
