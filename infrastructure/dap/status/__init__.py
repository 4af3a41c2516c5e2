"""How a deployed platform is."""

from dap.status.judge import HostStatus, Row, judge
from dap.status.survey import Survey, survey

__all__ = ["HostStatus", "Row", "Survey", "judge", "survey"]
