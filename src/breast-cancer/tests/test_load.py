from analysis.load import TARGET, content_version, read_source


def test_source_is_whole() -> None:
    columns, rows = read_source()
    assert len(rows) == 569
    assert all(len(row) == len(columns) == 31 for row in rows)
    assert columns[-1] == TARGET
    assert sum(row[-1] for row in rows) == 212  # malignant ones, as the source states


def test_version_follows_the_content() -> None:
    columns = ["size", "malignant"]
    version = content_version(columns, [[1.0, 0.0]])
    assert version == content_version(columns, [[1, 0]])
    assert version != content_version(columns, [[1.5, 0.0]])
    assert version != content_version(["length", "malignant"], [[1.0, 0.0]])
