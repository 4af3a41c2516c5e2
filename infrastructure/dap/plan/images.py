"""Images: what each is made of, and its content tag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dap.catalogue import Catalogue, ComposeService, EnvironmentFolder, HostedFolder
from dap.errors import InputError
from dap.files import digest_of_files
from dap.settings import Settings

_TAG_DIGITS = 12
_OCI = "org.opencontainers.image"


@dataclass(frozen=True)
class Image:
    """An image that is built on the host; `contexts` are named build contexts.

    `labels` are no part of the tag: they say what an image is, not what is in it. `locked` is the
    image in the platform's registry that a pipeline built of it: environments/NAME@sha256:DIGEST.
    """

    name: str
    reference: str
    context: str
    target: str | None = None
    dockerfile: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    locked: str = ""


class Images:
    """References of all images, and how those that are ours are built.

    A tag is twelve hex digits of the SHA-256 over the build context, the build options and the
    references of what the image starts from, so an image that is present is the right one.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._overrides: Mapping[str, str] = settings.images.overrides
        self._catalogue = catalogue
        self._environments: dict[str, Image] = {}
        self.names: set[str] = {"base", "builder"}
        packages = settings.packages.model_dump(mode="json")
        tag = _tag(catalogue.base_digest, settings.images.base, packages)
        debian = {"debian": f"docker-image://{settings.images.base}"}
        self.base = Image("base", self._reference("base", tag), "base", "base", contexts=debian)
        self.builder = Image(
            "builder", self._reference("builder", tag), "base", "builder", contexts=debian
        )
        self._common = {
            "base": f"docker-image://{self.base.reference}",
            "builder": f"docker-image://{self.builder.reference}",
        }
        for name in catalogue.environments:
            self._add_environment(name, ())
        self._offered = self._with_parents(
            [
                *settings.environments,
                *(each.environment for each in settings.workspaces),
                *(
                    name
                    for name, each in catalogue.environments.items()
                    if each.options.always
                    and not (each.options.hosts_only and settings.clusters_alone_run_jobs)
                ),
            ]
        )

    def environment(self, name: str) -> str:
        """Return the reference of an environment's image.

        Raises:
            InputError: there is no such environment, or the settings do not ask for it.
        """
        if name not in self._offered:
            known = ", ".join(self._offered) or "none"
            raise InputError(f"no environment '{name}' in the settings; there are: {known}")
        return self._environments[name].reference

    @property
    def environments(self) -> Mapping[str, Image]:
        """What the settings, workspaces and the platform itself name, and its parents, by name."""
        return self._offered

    def overridden(self, image: Image) -> bool:
        """Whether the settings give another reference, so that nothing is to be built."""
        return image.name in self._overrides

    def of_service(self, folder: HostedFolder, service: ComposeService) -> Image | None:
        """Return the image that a compose service has built, or None where it names a reference."""
        self.names.add(service.name)
        build = service.build
        if build is None:
            return None
        inside = str(build["context"]).removeprefix(".").strip("/")
        files = [
            file
            for file in folder.folder.context
            if not inside or file.path.startswith(f"{inside}/")
        ]
        if not files:
            raise InputError(f"{service.where}.build.context: '{inside or '.'}' holds no files")
        contexts = {**self._common, **_pairs(service, "additional_contexts")}
        options = {key: value for key, value in build.items() if key != "context"}
        tag = _tag(digest_of_files(files), inside, options, contexts)
        unknown = options.keys() - {"dockerfile", "target", "args", "additional_contexts"}
        if unknown:
            raise InputError(
                f"{service.where}.build.{min(unknown)}: not allowed; allowed are "
                "additional_contexts, args, context, dockerfile, target"
            )
        return Image(
            name=service.name,
            reference=service.image or self._reference(service.name, tag),
            context="/".join(filter(None, ("services", folder.name, inside))),
            target=build.get("target"),
            dockerfile=build.get("dockerfile"),
            args=_pairs(service, "args"),
            contexts=contexts,
        )

    def service_reference(self, service: ComposeService, built: Mapping[str, Image]) -> str:
        """Return what a compose service's `image:` becomes; `built` is what the host builds.

        An `image: dap/NAME` without a tag is the image that the compose service NAME builds.
        """
        if service.name in self._overrides:
            return self._overrides[service.name]
        if service.name in built:
            return built[service.name].reference
        reference = str(service.image)
        name = reference.removeprefix("dap/")
        if reference.startswith("dap/") and ":" not in name:
            if name not in built:
                raise InputError(
                    f"{service.where}.image: no compose service '{name}' with build: on this host"
                )
            return built[name].reference
        return reference

    def _with_parents(self, names: Iterable[str]) -> dict[str, Image]:
        wanted: set[str] = set()
        for name in names:
            while name in self._environments and name not in wanted:
                wanted.add(name)
                name = self._catalogue.environments[name].options.parent
        return {name: self._environments[name] for name in sorted(wanted)}

    def _add_environment(self, name: str, children: tuple[str, ...]) -> Image:
        if name in self._environments:
            return self._environments[name]
        folder: EnvironmentFolder = self._catalogue.environments[name]
        where = f"{folder.where}/environment.yml"
        parent_name = folder.options.parent
        if parent_name == name == "base":
            # The environment `base` starts from the image `base`.
            parent, source = self.base, self._common["base"]
        elif parent_name in (name, *children):
            raise InputError(f"{where}: parent: '{parent_name}' descends from '{name}'")
        elif parent_name in self._catalogue.environments:
            parent = self._add_environment(parent_name, (*children, name))
            source = f"target:{parent.name}"
            if self.overridden(parent):
                source = f"docker-image://{parent.reference}"
        elif parent_name == "base":
            parent, source = self.base, self._common["base"]
        else:
            known = ", ".join(["base", *self._catalogue.environments])
            raise InputError(f"{where}: parent: no environment '{parent_name}'; allowed: {known}")
        tag = _tag(folder.digest, parent.reference, self.builder.reference)
        locked = self._catalogue.lock.get(name)
        content = self._catalogue.environment_contents[name]
        if locked is not None and locked.content != content:
            locked = None
        if locked is not None:
            tag = content
        image_name = f"environment-{name}"
        self.names.add(image_name)
        image = Image(
            name=image_name,
            reference=self._reference(image_name, tag),
            context=f"environments/{name}",
            contexts={**self._common, "parent": source},
            labels={
                f"{_OCI}.title": f"environments/{name}",
                f"{_OCI}.description": folder.options.description,
                f"{_OCI}.version": tag,
            },
            locked=locked.image if locked else "",
        )
        self._environments[name] = image
        return image

    def _reference(self, name: str, tag: str) -> str:
        return self._overrides.get(name, f"dap/{name}:{tag}")


def _pairs(service: ComposeService, key: str) -> dict[str, str]:
    """Return a part of `build:` that may be a mapping or a list of KEY=VALUE as a mapping."""
    value: Any = (service.build or {}).get(key) or {}
    if isinstance(value, list):
        value = dict(str(pair).partition("=")[::2] for pair in value)
    if not isinstance(value, dict):
        raise InputError(f"{service.where}.build.{key}: must be a mapping")
    return {str(name): str(part) for name, part in value.items()}


def _tag(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_TAG_DIGITS]
