from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from dap.catalogue import read_catalogue
from dap.errors import InputError
from dap.plan import make_plan, secret_specs

if TYPE_CHECKING:
    from tests.unit.conftest import Project

APP = "infrastructure/services/app/compose.yml"
NEW = """\
x-dap: {{title: New, description: New, roles: [service]{folder}}}
services:
  {name}:
    image: example/new
    user: "1:1"
    x-dap: {{{service}}}
"""


def tags(project: Project) -> dict[str, str]:
    (host,) = project.plan().hosts
    return {image.name: image.reference for image in host.images}


def test_routes_and_streams_have_names_and_urls(project: Project) -> None:
    plan = project.plan()
    assert {route.name: (route.hostname, route.url, route.service) for route in plan.routes} == {
        "@": ("dap.localhost", "https://dap.localhost", "start"),
        "app": ("app.dap.localhost", "https://app.dap.localhost", "app"),
        "admin-python": (
            "admin-python.dap.localhost",
            "https://admin-python.dap.localhost",
            "admin-python",
        ),
    }
    assert {(stream.name, stream.listen, stream.port) for stream in plan.streams} == {
        ("store", 5432, 5432),
        ("admin-python", 2201, 2222),
    }


def test_urls_tell_another_port(project: Project) -> None:
    project.data["ports"] = {"https": 8443}
    assert {route.url for route in project.plan().routes} >= {"https://app.dap.localhost:8443"}


def test_content_is_made_after_what_it_needs(project: Project) -> None:
    names = list(project.plan().folders)
    assert names.index("store") < names.index("app")
    assert sorted(names) == ["app", "content", "desk", "proxy", "start", "store"]


def test_volumes_to_back_up_are_named_as_on_the_host(project: Project) -> None:
    backup = {service.name: service.backup for service in project.plan().services}
    assert backup["store"] == ("dap_store-data",)
    assert backup["admin-python"] == ("dap_desk-admin-python-home",)


def test_secrets_of_users_projects_stores_and_folders(project: Project) -> None:
    project.data["storage"] = {"stores": [{"name": "attic", "endpoint": "https://s3.example.org"}]}
    assert secret_specs(project.plan()) == {
        "dap/digest-key": "token",
        "users/admin/password": "password",
        "projects/analysis/password": "password",
        "storage/attic/access-key": "user",
        "storage/attic/secret-key": "user",
        "store/admin": "password",
        "app/store": "password",
        "app/session": "token",
    }


def test_every_image_has_a_tag_over_all_it_is_made_of(project: Project) -> None:
    before = tags(project)
    assert set(before) == {
        "base", "builder", "proxy", "store", "app", "content", "environment-base",
        "environment-python",
    }  # fmt: skip
    assert all(re.fullmatch(rf"dap/{name}:[0-9a-f]{{12}}", ref) for name, ref in before.items())


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("infrastructure/services/app/Dockerfile", {"app"}),
        ("infrastructure/services/app/README.md", set()),
        ("infrastructure/services/app/config/more", set()),
        ("infrastructure/services/app/tests/test_more.py", set()),
        ("environments/python/Dockerfile", {"environment-python"}),
        ("environments/python/tests/test_more.py", set()),
        ("environments/base/Dockerfile", {"environment-base", "environment-python"}),
    ],
)
def test_a_change_gives_new_tags_to_what_is_made_of_it(
    project: Project, path: str, changed: set[str]
) -> None:
    before = tags(project)
    project.write(path, "FROM base AS other\n")
    assert {name for name, ref in tags(project).items() if before[name] != ref} == changed


def test_a_lock_that_fits_gives_the_image_that_was_built(project: Project) -> None:
    before = project.plan().images.environments
    content = project.plan().catalogue.environment_contents["base"]
    image = f"environments/base@sha256:{'a' * 64}"
    for held, locked in ((content, image), ("0" * 12, "")):
        project.write("environments/lock.yml", f"base: {{content: '{held}', image: '{image}'}}\n")
        found = project.plan().images.environments
        assert found["base"].locked == locked
        assert (found["base"].reference == f"dap/environment-base:{content}") is bool(locked)
        assert (found["base"].reference == before["base"].reference) is not bool(locked)
        # What starts from another image is another image.
        assert (found["python"].reference == before["python"].reference) is not bool(locked)


def test_a_damaged_lock_is_refused(project: Project) -> None:
    project.write("environments/lock.yml", "base: {content: x}\n")
    with pytest.raises(InputError, match=r"environments/lock\.yml: base: must have content"):
        project.plan()


def test_what_the_platform_needs_is_built_unasked(project: Project) -> None:
    project.write("environments/tool/Dockerfile", "FROM parent\n")
    project.write("environments/tool/environment.yml", "description: A tool\n")
    assert "tool" not in project.plan().images.environments
    project.write("environments/tool/environment.yml", "description: A tool\nalways: true\n")
    assert "tool" in project.plan().images.environments


def test_what_takes_a_host_is_not_there_where_clusters_alone_run_jobs(project: Project) -> None:
    project.write("environments/tool/Dockerfile", "FROM parent\n")
    text = "description: A tool\nalways: true\nhosts_only: it is root\n"
    project.write("environments/tool/environment.yml", text)
    host = {"name": "local", "address": "localhost", "roles": ["service", "runner"], "slots": 1}
    beside = {"domain": "dap.test", "address": "10.0.0.5", "forge": "gitlab", "hosts": [host]}
    project.data |= {**beside, "clusters": [{"name": "far", "context": "far"}]}
    assert "tool" in project.plan().images.environments
    host["slots"] = 0
    assert "tool" not in project.plan().images.environments
    project.data["environments"] = ["tool"]
    with pytest.raises(InputError, match=r"environments\[0\]: needs a host .*: it is root"):
        project.plan()


def test_a_new_base_gives_new_tags_to_all(project: Project) -> None:
    before = tags(project)
    project.data["images"] = {"base": "debian:trixie"}
    after = tags(project)
    assert all(before[name] != after[name] for name in before)


def test_an_executable_bit_gives_a_new_tag(project: Project) -> None:
    before = tags(project)
    (project.root / "infrastructure/services/store/run").chmod(0o644)
    assert tags(project)["store"] != before["store"]


def test_an_override_replaces_an_image_and_nothing_is_built(project: Project) -> None:
    project.data["images"] = {"overrides": {"app": "example/app:1", "proxy": "example/proxy:2"}}
    plan = project.plan()
    images = {service.name: service.image for service in plan.services}
    assert images["app"] == images["app-worker"] == "example/app:1"
    assert images["start"] == images["proxy"] == "example/proxy:2"
    assert {"app", "proxy"}.isdisjoint(tags(project))


def test_a_host_that_comes_later_moves_no_workspace(project: Project) -> None:
    def placed() -> dict[str, str]:
        return {
            workspace.name: host.host.name
            for host in project.plan().hosts
            for workspace in host.host.workspaces
        }

    hosts = project.data["hosts"] = [
        {"name": "main", "roles": ["service"]},
        {"name": "r1", "address": "10.0.0.1", "roles": ["runner"]},
        {"name": "r2", "address": "10.0.0.2", "roles": ["runner"]},
    ]
    workspace = {"owner": "admin", "environment": "python"}
    project.data["workspaces"] = [
        {"name": "a", "ssh_port": 2301, **workspace},
        {"name": "b", "ssh_port": 2302, "host": "r2", **workspace},
    ]
    assert placed() == {"a": "r1", "b": "r2"}
    hosts.append({"name": "a-new-one", "address": "10.0.0.3", "roles": ["runner"]})
    assert placed() == {"a": "r1", "b": "r2"}


def test_hosts_run_what_their_roles_ask_for(project: Project) -> None:
    project.data["hosts"] = [
        {"name": "main", "roles": ["service"]},
        {"name": "r1", "address": "10.0.0.1", "roles": ["runner"]},
    ]
    folders = {
        host.host.name: {folder.name for folder in host.folders} for host in project.plan().hosts
    }
    assert folders == {
        "main": {"app", "content", "proxy", "start", "store"},
        "r1": {"proxy", "desk"},
    }


def test_the_service_host_builds_what_others_need_and_these_have_no_more(project: Project) -> None:
    def images() -> dict[str, set[str]]:
        return {
            host.host.name: {image.name for image in host.images} for host in project.plan().hosts
        }

    project.data["hosts"] = [
        {"name": "main", "roles": ["service"]},
        {"name": "r1", "address": "10.0.0.1", "roles": ["runner"]},
    ]
    environments = {"environment-base", "environment-python"}
    assert images()["r1"] == {"proxy", *environments}
    assert images()["main"] >= {"base", "builder", *environments}
    assert set(project.plan().shipped.values()) == {
        "services/proxy",
        "environments/base",
        "environments/python",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"workspaces": [{"environment": "pyton"}]},
            r"workspaces\[0\]\.environment: is no environment; allowed: python \(nearest\), base",
        ),
        ({"workspaces": [{"memory": "512m"}]}, r"workspaces\[0\]\.memory: .*python needs 1g"),
        ({"workspaces": [{"name": "app"}]}, r"workspaces\[0\].name: is the name of a service"),
        ({"workspaces": [{"ssh_port": 443}]}, r"x-dap\.streams: port 443 is taken by ports.https"),
        ({"resources": {"ap": {"cpus": 1}}}, r"resources\.ap: is no service; allowed: app \(near"),
        ({"images": {"overrides": {"stroe": "x"}}}, r"overrides\.stroe: is no image; .*store"),
    ],
)
def test_settings_that_do_not_fit_the_catalogue_are_refused(
    project: Project, data: dict[str, object], message: str
) -> None:
    workspace = {"name": "one", "owner": "admin", "environment": "python", "ssh_port": 2201}
    listed = data.pop("workspaces", [{}])
    assert isinstance(listed, list)
    project.data.update(data, workspaces=[workspace | given for given in listed])
    with pytest.raises(InputError, match=message):
        project.plan()


@pytest.mark.parametrize(
    ("name", "folder", "service", "message"),
    [
        ("new", ", needs: [stor]", "", "x-dap.needs: no service 'stor'; there are: app, "),
        ("new", ", resources: [{from: x, kind: k, name: n}]", "", "from: 'x' runs on no host"),
        ("new", ", resources: [{from: app, kind: k, name: n}]", "", "'app' has no content"),
        (
            "new",
            ", resources: [{from: store, kind: k, name: n, secret: new/no}]",
            "",
            "secret: 'new/no' is declared nowhere",
        ),
        ("app", "", "", "services.app: the name is taken by new/compose.yml"),
        ("new", "", "routes: [{name: app, port: 1, auth: proxy}]", "'app' is taken by new/"),
        ("new", "", "streams: [{name: s, listen: 443, port: 1}]", "443 is taken by ports.https"),
        ("new", "", "streams: [{name: s, listen: 2201, port: 1}]", "port 2201 is taken by "),
        (
            "new",
            "",
            "streams: [{name: s, listen: 9, port: 1, ssh: {user: a, host_key: app/store}}]",
            "services.new: x-dap: ssh: host_key: 'app/store' is no secret of kind ssh-key",
        ),
        (
            "new",
            ", secrets: {key: ssh-key}",
            "ssh: {user: a, port: 1, host_key: new/key, people: [admin]}",
            "0 streams with ssh: {jump: true} for new; one is needed",
        ),
        ("new", "", "entry: true", "services.proxy.x-dap.entry: the entry of host local is"),
    ],
)
def test_folders_that_do_not_fit_each_other_are_refused(
    project: Project, name: str, folder: str, service: str, message: str
) -> None:
    project.service("new", NEW.format(name=name, folder=folder, service=service))
    with pytest.raises(InputError, match=re.escape(message)):
        project.plan()


def test_services_that_need_each_other_are_refused(project: Project) -> None:
    project.replace(
        "infrastructure/services/store/compose.yml", "  secrets: {", "  needs: [app]\n  secrets: {"
    )
    with pytest.raises(InputError, match=r"in a circle: (app → store → app|store → app → store)"):
        project.plan()


def test_a_secret_that_is_declared_nowhere_is_refused(project: Project) -> None:
    project.replace(APP, "secrets: [session]", "secrets: [sesion]")
    message = r"services\.app-worker\.secrets: 'sesion' is neither a file .*: session, store, store"
    with pytest.raises(InputError, match=message):
        project.plan()


ROUTE = "route: {title: Notebook, port: 8888}\n"


@pytest.mark.parametrize(
    ("base", "python", "routes"),
    [
        ("", "", {}),
        ("", ROUTE, {"py": 8888}),
        (ROUTE, "", {"sh": 8888, "py": 8888}),
        (ROUTE, "route: {title: Editor, port: 9000}\n", {"sh": 8888, "py": 9000}),
        (ROUTE, "route: null\n", {"sh": 8888}),
    ],
)
def test_a_workspace_has_the_route_of_its_environment_or_of_the_parent(
    project: Project, base: str, python: str, routes: dict[str, int]
) -> None:
    project.write("environments/base/environment.yml", f"description: Shell\n{base}")
    project.write("environments/python/environment.yml", f"description: Python\n{python}")
    project.replace(
        "infrastructure/services/desk/compose.yml",
        "      routes: [{name: {{ workspace.name }}, port: 8888, auth: service}]\n",
        "{% set route = environment_route(workspace.environment) %}\n"
        "      routes: [{% if route %}{name: {{ workspace.name }}, port: {{ route.port }}, "
        "auth: service}{% endif %}]\n",
    )
    owned = {"owner": "admin", "memory": "2g"}
    project.data["workspaces"] = [
        {"name": "sh", "environment": "base", "ssh_port": 2201, **owned},
        {"name": "py", "environment": "python", "ssh_port": 2202, **owned},
    ]
    found = {route.name: route.port for route in project.plan().routes if route.folder == "desk"}
    assert found == routes


def test_a_port_that_two_hosts_publish_on_the_service_host_is_refused(project: Project) -> None:
    project.data |= {
        "domain": "dap.test",
        "address": "10.0.0.1",
        "hosts": [
            {"name": "main", "address": "10.0.0.1", "roles": ["service"]},
            {"name": "r1", "address": "10.0.0.2", "roles": ["runner"]},
        ],
    }
    service = "streams: [{name: s, listen: 5432, port: 1}]"
    text = NEW.format(name="new", folder="", service=service)
    project.service("new", text.replace("roles: [service]", "roles: [runner]"))
    message = "new/compose.yml: services.new: x-dap.streams: port 5432 is taken by store/"
    with pytest.raises(InputError, match=re.escape(message)):
        project.plan()


def test_the_route_of_no_environment_is_refused(project: Project) -> None:
    project.replace(APP, "x-dap:\n", "x-dap:\n  {{ environment_route('pyton') }}\n")
    with pytest.raises(InputError, match="no environment 'pyton'; there are: base, python"):
        project.plan()


def test_environments_that_descend_from_each_other_are_refused(project: Project) -> None:
    project.write("environments/base/environment.yml", "parent: python\ndescription: Shell\n")
    with pytest.raises(InputError, match=r"environment\.yml: parent: '.*' descends from"):
        project.plan()


def test_routes_without_a_proxy_are_refused(project: Project) -> None:
    project.replace("infrastructure/services/proxy/compose.yml", "{entry: true}", "{}")
    with pytest.raises(InputError, match="host local: has routes or streams but no service with"):
        project.plan()


def test_the_plan_reads_no_file(project: Project) -> None:
    catalogue = read_catalogue(project.root)
    settings = project.settings
    project.root.rename(project.root.with_name("away"))
    assert make_plan(settings, catalogue).services


def environments_of(project: Project) -> set[str]:
    (host,) = project.plan().hosts
    return {image.name for image in host.images if image.name.startswith("environment-")}


def test_only_the_environments_that_are_asked_for_are_built(project: Project) -> None:
    for name in ("r", "cuda"):
        parent = "base" if name == "r" else "python"
        project.write(
            f"environments/{name}/environment.yml", f"parent: {parent}\ndescription: {name}\n"
        )
        project.write(f"environments/{name}/Dockerfile", "FROM parent\n")
    assert environments_of(project) == {"environment-base", "environment-python"}
    project.data |= {"environments": ["r"], "workspaces": []}
    assert environments_of(project) == {"environment-base", "environment-r"}
    project.data["workspaces"] = [
        {"name": "desk", "owner": "admin", "environment": "cuda", "ssh_port": 2201}
    ]
    assert environments_of(project) == {
        "environment-base", "environment-r", "environment-python", "environment-cuda",
    }  # fmt: skip
    assert set(project.plan().images.environments) == {"base", "cuda", "python", "r"}


def test_an_environment_that_is_not_there_is_refused_with_those_that_are(project: Project) -> None:
    project.data["environments"] = ["python", "pyhton"]
    with pytest.raises(InputError) as refused:
        project.plan()
    assert "environments[1]: is no environment; allowed: python (nearest), base" in str(
        refused.value
    )


def test_labels_change_no_tag(project: Project) -> None:
    before = tags(project)
    project.write("environments/python/environment.yml", "parent: base\ndescription: Other\n")
    assert tags(project) == before
    image = project.plan().images.environments["python"]
    assert image.labels["org.opencontainers.image.description"] == "Other"
    assert image.reference.endswith(f":{image.labels['org.opencontainers.image.version']}")


OPTIONS = """\
colour: {description: How it looks, default: red, choices: [red, green]}
depth: {description: How deep, default: 3}
loud: {description: Whether it speaks, default: false}
"""


def with_options(project: Project) -> None:
    project.write("infrastructure/services/app/options.yml", OPTIONS)
    project.replace(APP, "title: App\n", "title: App {{ options.colour }} {{ options.depth }}\n")
    project.write(
        "infrastructure/services/app/config/app.ini.j2",
        "{% if options.loud %}\nurl = {{ url('app') }}\n{% endif %}\n",
    )


def test_options_are_the_defaults_or_what_the_settings_choose(project: Project) -> None:
    with_options(project)
    assert project.plan().folders["app"].options.title == "App red 3"
    assert project.files()["config/app/app.ini"].content == b""
    project.data["options"] = {"app": {"colour": "green", "loud": True}}
    assert project.plan().folders["app"].options.title == "App green 3"
    files = project.files()
    assert files["config/app/app.ini"].content == b"url = https://app.dap.localhost\n"
    told = json.loads(files["plan.json"].content)["folders"]["app"]["options"]
    assert told == {"colour": "green", "depth": 3, "loud": True}


def test_options_are_those_of_their_folder_alone(project: Project) -> None:
    with_options(project)
    project.replace("infrastructure/services/store/compose.yml", "Keeps", "{{ options.colour }}")
    with pytest.raises(InputError, match=r"store/compose\.yml:3: .*colour"):
        project.plan()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"other": {"depth": 1}}, "options.other: has no options; allowed: app"),
        ({"store": {"depth": 1}}, "options.store: has no options; allowed: app"),
        ({"app": {"dept": 1}}, "options.app.dept: is no option; allowed: depth (nearest)"),
        ({"app": {"depth": "1"}}, "options.app.depth: is of the wrong kind; allowed: a whole"),
        ({"app": {"depth": True}}, "options.app.depth: is of the wrong kind; allowed: a whole"),
        ({"app": {"loud": 1}}, "options.app.loud: is of the wrong kind; allowed: true, false"),
        ({"app": {"colour": "blue"}}, "options.app.colour: is none of what is allowed; allowed: r"),
    ],
)
def test_options_that_a_folder_does_not_have_are_refused(
    project: Project, given: dict[str, dict[str, object]], says: str
) -> None:
    with_options(project)
    project.data["options"] = given
    with pytest.raises(InputError, match=re.escape(says)):
        project.plan()


@pytest.mark.parametrize(
    ("key", "section"), [("users", "users[0].name"), ("projects", "projects[0].name")]
)
def test_a_name_that_a_service_keeps_for_itself_is_refused(
    project: Project, key: str, section: str
) -> None:
    name = {"users": "admin", "projects": "analysis"}[key]
    project.replace(APP, "title: App\n", f"title: App\n  reserved: {{{key}: [{name}]}}\n")
    with pytest.raises(InputError, match=re.escape(f"{section}: is the name of a service")):
        project.plan()


def test_the_password_of_mail_is_typed_in_where_there_is_a_user(project: Project) -> None:
    project.data["mail"] = {"host": "mail.example.org"}
    assert "mail/password" not in secret_specs(project.plan())
    project.data["mail"]["user"] = "dap"
    assert secret_specs(project.plan())["mail/password"] == "user"
