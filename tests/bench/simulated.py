"""Hosts without an engine: sshd, Python and, as `docker`, answers that a real host's gave before.

For what a deploy costs as a function of hosts, where fifty engines would not fit on one machine.
Ansible, SSH, the modules and the files are real on each; Docker's client is not: it answers a
command line as a runner host's did in a deploy that changed nothing, and refuses any other.
"""

from __future__ import annotations

from tests.fleet.baseline.deploys import SWITCHES
from tests.fleet.hosts import START, Entry, Fleet, FreshHost, Member, archive

RECORD = "/var/tmp/docker-answers"
RECORDER = f"""\
#!/usr/bin/python3
import json, subprocess, sys
done = subprocess.run(["/usr/bin/docker", *sys.argv[1:]], capture_output=True, text=True)
with open("{RECORD}", "a") as file:
    answer = [sys.argv[1:], done.returncode, done.stdout, done.stderr]
    file.write(json.dumps(answer) + "\\n")
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
sys.exit(done.returncode)
"""
STAND_IN = f"""\
#!/usr/bin/python3
import json, sys
for line in open("{RECORD}"):
    asked, status, output, errors = json.loads(line)
    if asked == sys.argv[1:]:
        sys.stdout.write(output)
        sys.stderr.write(errors)
        sys.exit(status)
sys.exit("simulated: no answer was recorded for " + " ".join(sys.argv))
"""
CLIENT = "usr/local/bin/docker"  # found before the package's own
DAEMON = "usr/local/bin/dockerd"  # a host without it is given one
SSHD = START.replace("/sbin/init", "/usr/sbin/sshd -D")


def record(host: FreshHost) -> None:
    """Keep from now on what a host's engine answers."""
    host.container.put_archive("/", archive({CLIENT: Entry(RECORDER, 0o755)}))


def recorded(host: FreshHost) -> str:
    """Stop keeping it; the answers."""
    host.execute("rm", f"/{CLIENT}")
    return host.execute("cat", RECORD)


class SimulatedHost(FreshHost):
    """A host with an sshd and another one's answers.

    Args:
        fleet: the hosts that it joins.
        member: its name and number.
        answers: what `recorded` gave.
    """

    def __init__(self, fleet: Fleet, member: Member, answers: str) -> None:
        super().__init__(fleet, member)
        self.answers = answers

    def create(self) -> None:
        """Make it and switch it on."""
        files = {
            CLIENT: Entry(STAND_IN, 0o755),
            DAEMON: Entry(STAND_IN, 0o755),
            RECORD.removeprefix("/"): Entry(self.answers),
        }
        self.make(["/bin/sh", "-c", f"mkdir -p /run/sshd && {SSHD}"], files)
        self.container.start()


def members(first: int, last: int) -> list[Member]:
    """Runner hosts of these numbers.

    Args:
        first: number of the first.
        last: number of the last; 244 at most.
    """
    # No systemd runs there, which a baseline is made with.
    baseline = dict.fromkeys(SWITCHES, False)
    runner = {"roles": ["runner"], "slots": 1, "baseline": baseline}
    return [
        Member(f"s{n}", 10 + n, settings=dict(runner), memory="256m")
        for n in range(first, last + 1)
    ]
