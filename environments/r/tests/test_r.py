"""What an analyst finds in the environment."""

import json
import shlex
from collections.abc import Callable

Job = Callable[[str], str]

FIT = """
library(dplyr); library(tidyr); library(readr); library(ggplot2)
cars <- as_tibble(mtcars, rownames = "model") |> mutate(heavy = wt > 3)
means <- cars |> group_by(heavy) |> summarise(mpg = mean(mpg)) |> arrange(heavy)
stopifnot(diff(means$mpg) < -5)
write_csv(means, "/tmp/means.csv")
stopifnot(identical(read_csv("/tmp/means.csv", show_col_types = FALSE)$heavy, c(FALSE, TRUE)))
ggsave("/tmp/plot.png", ggplot(cars, aes(wt, mpg)) + geom_point(), width = 3, height = 3)
cat(file.size("/tmp/plot.png") > 1000)
"""
LISTEN = """
peer <- socketConnection(port = 9000, server = TRUE, blocking = TRUE, open = "r+", timeout = 30)
lines <- readLines(peer, 8)
writeLines("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", peer)
writeLines(grep("^(GET|Authorization)", lines, value = TRUE), "/tmp/asked")
"""
SIGNED = """
library(httr2)
request("http://127.0.0.1:9000/bucket/key") |>
  req_options(aws_sigv4 = "aws:amz:us-east-1:s3", userpwd = "access:secret") |>
  req_retry(max_tries = 40, retry_on_failure = TRUE, backoff = function(n) 0.5) |>
  req_perform() |> resp_status() |> cat()
"""
LOCKED = """
locked <- jsonlite::fromJSON("/usr/share/environments/r/renv.lock")$Packages
versions <- vapply(names(locked), function(name) as.character(packageVersion(name)), "")
wanted <- vapply(locked, function(each) gsub("-", ".", each$Version, fixed = TRUE), "")
stopifnot(length(locked) > 50, identical(versions, wanted))
"""


def rscript(job: Job, text: str) -> str:
    return job(
        "Rscript - 2>/tmp/errors <<'SCRIPT' || { cat /tmp/errors >&2; exit 1; }\n"
        + text
        + "\nSCRIPT"
    )


def test_data_are_read_summarised_drawn_and_written(job: Job) -> None:
    assert rscript(job, FIT) == "TRUE"


def test_requests_to_s3_are_signed(job: Job) -> None:
    listen = f"Rscript -e {shlex.quote(LISTEN)} & "
    said = job(f"{listen} Rscript -e {shlex.quote(SIGNED)} && wait && cat /tmp/asked")
    assert said.startswith("200GET /bucket/key HTTP/1.1\nAuthorization: AWS4-HMAC-SHA256 ")
    assert "Credential=access/" in said


def test_postgres_is_asked_with_the_platform_s_variables(job: Job) -> None:
    script = "DBI::dbConnect(RPostgreSQL::PostgreSQL(), host = '127.0.0.1', port = '1')"
    said = job(f"Rscript -e {shlex.quote(script)} 2>&1 || :")
    assert "refused" in said


def test_packages_are_the_locked_ones(job: Job) -> None:
    rscript(job, LOCKED)


def test_what_a_user_installs_goes_to_the_home(job: Job) -> None:
    script = "cat(Sys.getenv('R_LIBS_USER'), capabilities('libcurl'))"
    assert job(f"Rscript -e {shlex.quote(script)}") == (
        "/home/analyst/R/x86_64-pc-linux-gnu-library/4.5 TRUE"
    )


def test_the_lock_is_one_that_renv_reads(job: Job) -> None:
    script = "cat(length(renv::lockfile_read('/usr/share/environments/r/renv.lock')$Packages))"
    count = json.loads(job("cat /usr/share/environments/r/renv.lock"))["Packages"]
    assert int(job(f"Rscript -e {shlex.quote(script)}")) == len(count)
