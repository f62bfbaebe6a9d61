rule build_explorer:
    """Make the page to look around in: images, maps, curves, paths and metrics in one file that a browser opens from disk."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=expand(
            rules.sample_images.output, sample=STUDY["sample"], allow_missing=True
        ),
        embeddings=runs(rules.embed_images.output),
        attributions=runs(rules.attribute.output.maps),
        curves=runs(rules.flip.output),
        images_table=rules.summarise.output.images,
        summary_table=rules.summarise.output.summary,
        heads_table=rules.summarise.output.heads,
        checks_table=rules.check_study.output[0],
        assets=lambda wildcards: relative(assets_of(SCRIPTS)),
        code=code("build_explorer"),
    output:
        page=report(
            f"{HOME}/explorer/index.html",
            caption="../workflow/report/explorer.rst",
            category="(Explorer)",
            labels={"data set": "{dataset}"},
        ),
        slices=directory(f"{HOME}/explorer/slices"),
    log:
        f"{HOME}/logs/build_explorer.log",
    benchmark:
        f"{HOME}/benchmarks/build_explorer.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        config=params_of("build_explorer"),
    script:
        "../workflow/scripts/build_explorer.py"


rule explorer_all:
    """Target: the page of every data set."""
    input:
        expand(rules.build_explorer.output, dataset=STUDY["datasets"]),
    localrule: True


rule export_virelay:
    """Write the maps of a run as projects for ViRelAy, one for each method and head; no other rule needs them."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=expand(
            rules.sample_images.output, sample=STUDY["sample"], allow_missing=True
        ),
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        attributions=lambda wildcards: over_models(
            rules.attribute.output.maps, [wildcards.model], sample=STUDY["sample"]
        ),
        code=code("export_virelay"),
    output:
        directory(f"{HOME}/virelay/{{model}}/seed{{seed}}"),
    log:
        f"{HOME}/logs/export_virelay/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{HOME}/benchmarks/export_virelay/{{model}}/seed{{seed}}.tsv"
    localrule: True
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        config=params_of("export_virelay"),
    script:
        "../workflow/scripts/export_virelay.py"


rule virelay_all:
    """Target: projects for ViRelAy of the first seed of every model; not part of `all`."""
    input:
        expand(
            rules.export_virelay.output,
            dataset=STUDY["datasets"],
            model=STUDY["models"],
            seed=STUDY["seeds"][0],
        ),
    localrule: True
