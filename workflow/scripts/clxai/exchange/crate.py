"""A Workflow Run RO-Crate of a study: which files there are, and which run of which workflow made them.

The metadata file of RO-Crate 1.1 with the profiles Process Run Crate 0.5, Workflow Run Crate 0.5 and Workflow RO-Crate 1.0
(https://w3id.org/ro/crate/1.1, https://w3id.org/ro/wfrun/process/0.5, https://w3id.org/ro/wfrun/workflow/0.5,
https://w3id.org/workflowhub/workflow-ro-crate/1.0). A file that is not inside the crate is named by its digest, as
`ni:///sha-256;...` [RFC 6920]; each file has its name, size in bytes and SHA-256.
"""

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

METADATA, README = "ro-crate-metadata.json", "README.md"
_CRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_FORMATS = {
    ".nc": "application/x-netcdf",
    ".npy": "application/octet-stream",
    ".safetensors": "application/octet-stream",
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
    ".smk": "text/x-python",
    ".md": "text/markdown",
}
Entity = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A file: its path inside the crate, or None where it stays outside; its name, size in bytes and SHA-256; what it is.

    `role` is what it is to the run: `result`, `object` (what it read), `workflow`, or nothing.
    """

    name: str
    size: int
    sha256: str
    path: str | None
    role: str = ""
    description: str = ""

    @property
    def id(self) -> str:
        """The identifier: the path inside the crate, else a name made of the digest."""
        return quote(self.path) if self.path is not None else named_information(self.sha256)


@dataclass(frozen=True)
class Crate:
    """What is said of a study as a whole.

    `workflow` is the path of the main workflow among the parts, `ended` when its last result was written (ISO 8601), `license` an
    SPDX identifier, `software` versions by name.
    """

    name: str
    description: str
    workflow: str
    ended: str
    license: str
    versions: Mapping[str, str]
    author: str | None = None
    parts: Sequence[Part] = field(default_factory=list)


def named_information(sha256: str) -> str:
    """Return the URI that names content by its SHA-256, given in hexadecimal digits [RFC 6920, section 3]."""
    return f"ni:///sha-256;{base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"


def metadata(crate: Crate) -> dict[str, Any]:
    """Return the content of `ro-crate-metadata.json`."""
    return {
        "@context": [f"{_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"],
        "@graph": [_descriptor(), _root(crate), *_profiles(), *_people(crate), *_software(crate), _action(crate), *_files(crate)],
    }


def _descriptor() -> Entity:
    conforms = [{"@id": _CRATE}, {"@id": _WORKFLOW_CRATE}]
    return {"@id": METADATA, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": conforms}


def _root(crate: Crate) -> Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": crate.name,
        "description": crate.description,
        "datePublished": crate.ended,
        "license": {"@id": _license(crate)},
        "conformsTo": [{"@id": profile} for profile in _PROFILES],
        "mainEntity": {"@id": crate.workflow},
        "mentions": {"@id": "#run"},
        "hasPart": [{"@id": name} for name in dict.fromkeys(part.id for part in crate.parts)],
        **_author(crate),
    }


def _profiles() -> list[Entity]:
    return [{"@id": key, "@type": "CreativeWork", "name": name, "version": version} for key, (name, version) in _PROFILES.items()]


def _people(crate: Crate) -> list[Entity]:
    license_of = {"@id": _license(crate), "@type": "CreativeWork", "name": crate.license, "identifier": _license(crate)}
    license_of |= {"description": f"The licence {crate.license} as SPDX lists it"}
    return [license_of, *([{"@id": "#author", "@type": "Person", "name": crate.author}] if crate.author else [])]


def _software(crate: Crate) -> list[Entity]:
    language = {"@id": _SNAKEMAKE, "@type": "ComputerLanguage", "name": "Snakemake", "url": "https://snakemake.readthedocs.io"}
    language |= {"identifier": "https://doi.org/10.1093/bioinformatics/bts480"}
    language |= {"version": crate.versions["snakemake"]} if "snakemake" in crate.versions else {}
    tools = [
        {"@id": f"#software-{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
        | {"url": f"https://pypi.org/project/{name}/"}
        for name, version in crate.versions.items()
    ]
    return [language, *tools]


def _action(crate: Crate) -> Entity:
    roles = {role: [{"@id": part.id} for part in crate.parts if part.role == role] for role in ("object", "result")}
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of {crate.name}",
        "description": "snakemake --cores N; the config is among the objects",
        "endTime": crate.ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "instrument": {"@id": crate.workflow},
        **{role: _once(found) for role, found in roles.items() if found},
        **({"agent": {"@id": "#author"}} if crate.author else {}),
    }


def _files(crate: Crate) -> list[Entity]:
    """Return one entity per file; files of equal content outside the crate are one."""
    found: dict[str, Entity] = {}
    for part in crate.parts:
        entity = found.setdefault(part.id, {"@id": part.id, "@type": "File", "name": part.name, **_facts(part)})
        if entity["name"] != part.name:
            entity["alternateName"] = [*entity.get("alternateName", []), part.name]
        if part.path == crate.workflow:
            entity |= _workflow(crate)
    return list(found.values())


def _facts(part: Part) -> Entity:
    suffix = "." + part.name.rpartition(".")[2]
    kind = _FORMATS.get(suffix) or mimetypes.guess_type(part.name)[0] or "application/octet-stream"
    facts: Entity = {"contentSize": str(part.size), "sha256": part.sha256, "encodingFormat": kind}
    facts |= {"about": {"@id": "./"}} if part.path == README else {}
    return facts | ({"description": part.description} if part.description else {})


def _workflow(crate: Crate) -> Entity:
    rules = [{"@id": part.id} for part in crate.parts if part.role == "workflow" and part.path != crate.workflow]
    return {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "CLXAI",
        "version": crate.versions["clxai"],
        "programmingLanguage": {"@id": _SNAKEMAKE},
        "license": {"@id": _license(crate)},
        "hasPart": rules,
        "softwareRequirements": [{"@id": f"#software-{name}"} for name in crate.versions],
    }


def _author(crate: Crate) -> Entity:
    return {"author": {"@id": "#author"}} if crate.author else {}


def _license(crate: Crate) -> str:
    return f"https://spdx.org/licenses/{crate.license}"


def _once(entities: Sequence[Entity]) -> Entity | list[Entity]:
    """Return entities, each once; a single one as itself, as RO-Crate prefers it."""
    found = [{"@id": name} for name in dict.fromkeys(entity["@id"] for entity in entities)]
    return found[0] if len(found) == 1 else found
