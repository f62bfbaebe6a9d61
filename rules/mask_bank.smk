rule mask_bank:
    """Show the network the images of a sample under many random masks, once, and keep what every head says of each class."""
    input:
        images=rules.prepare_data.output.images,
        labels=rules.prepare_data.output.labels,
        sample=rules.sample_images.output,
        model=rules.train_model.output.model,
        embeddings=rules.embed_images.output,
        heads=own_head_files,
        own=own("mask_bank"),
        code=code("mask_bank"),
    output:
        BANK,
    log:
        f"{RUN}/logs/mask_bank/{{sample}}/{{units}}/{{fill}}.log",
    benchmark:
        f"{RUN}/benchmarks/mask_bank/{{sample}}/{{units}}/{{fill}}.tsv"
    wildcard_constraints:
        units=alternatives({bank.units for bank in banks_needed(config)}),
        fill=alternatives({bank.fill for bank in banks_needed(config)}),
    conda:
        "../envs/clxai.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    params:
        config=params_of("mask_bank"),
    script:
        "../workflow/scripts/mask_bank.py"


rule mask_banks_all:
    """Target: all mask banks that methods and metrics of the study read; none for a study without such ones."""
    input:
        expand(
            files_of_banks(rules.mask_bank.output, banks_needed(config)),
            dataset=STUDY["datasets"],
        ),
    localrule: True
