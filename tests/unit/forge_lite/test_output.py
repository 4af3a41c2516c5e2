from dap_pipelines.output import Event, Reader, links, planned


def test_the_way_of_a_job() -> None:
    reader = Reader(["build"])
    assert reader.read("build starting debian:12 (test)") == Event(
        "starting", "build", stage="test", image="debian:12"
    )
    assert reader.read("build copied to docker volumes in 1 s") == Event(
        "note", "build", "copied to docker volumes in 1 s"
    )
    assert reader.read("build $ make") == Event("text", "build", "$ make")
    assert reader.read("build > done") == Event("text", "build", "done")
    assert reader.read("build >") == Event("text", "build", "")
    ended = reader.read("build finished in 1.2 s")
    assert ended is not None
    assert (ended.kind, ended.how, ended.exit) == ("finished", "success", 0)


def test_failure_and_warning_tell_their_exit_code() -> None:
    reader = Reader(["a"])
    reader.read("a starting i:1 (test)")
    failed = reader.read("a finished in 15 ms  FAIL 3 ")
    warned = reader.read("a finished in 15 ms  WARN 4 ")
    assert failed is not None
    assert warned is not None
    assert (failed.how, failed.exit) == ("failed", 3)
    assert (warned.how, warned.exit) == ("warning", 4)
    after = reader.read("a finished in 15 ms  WARN 1  after_script")
    assert after is not None
    assert after.kind == "note"


def test_a_job_cant_feign_progress() -> None:
    reader = Reader(["a", "b"])
    reader.read("a starting i:1 (test)")
    assert reader.read("a > b starting i:1 (test)") == Event("text", "a", "b starting i:1 (test)")
    assert reader.read("a > a finished in 1 s") == Event("text", "a", "a finished in 1 s")
    assert reader.read("c starting i:1 (test)") is None


def test_names_that_start_alike_and_jobs_of_a_matrix() -> None:
    reader = Reader(["a", "a b", "m"])
    for name in ("a", "a b", "m: [1,x]"):
        assert reader.read(f"{name} starting i:1 (test)") is not None
    assert reader.read("a b > x") == Event("text", "a b", "x")
    assert reader.read("m: [1,x] > y") == Event("text", "m: [1,x]", "y")


def test_the_rest_of_a_long_line_belongs_to_its_job() -> None:
    reader = Reader(["a"])
    reader.read("a starting i:1 (test)")
    reader.read("a > begin")
    assert reader.read("a finished in 1 s", continues=True) == Event(
        "text", "a", "a finished in 1 s"
    )


def test_planned_jobs_come_in_the_order_of_stages() -> None:
    expanded = {
        "stages": [".pre", "one", "test", ".post"],
        "default": {"image": "i"},
        "second": {"script": ["x"]},
        ".hidden": {"script": ["x"]},
        "first": {"stage": "one", "script": ["x"]},
    }
    assert planned(expanded) == [("first", "one"), ("second", "test")]


def test_addresses_of_the_platforms_services_are_found() -> None:
    forge = "https://git.dap.test:8443"
    run = "https://mlflow.dap.test:8443/#/experiments/1/runs/2"
    assert links(f"View run at: {run}. (see https://example.org/)", forge) == [run]
    assert links("https://git.dap.test:8443/-/pipelines https://mlflow.dap.test/", forge) == []
    assert links("no address, no://thing", forge) == []
