"""What click can't tell: exit codes, and the variables that no option names."""

from edgesync.cli.completion import VARIABLE
from edgesync.cli.context import FAILED, INTERRUPTED, USAGE
from edgesync.clients.daemon_way import CA_VARIABLE, CERT_VARIABLE, TOKEN_VARIABLE
from edgesync.config.overrides import CONFIG_VARIABLE

EXIT_CODES = {
    0: "done",
    FAILED: "something failed: a copy, a request, the way to the daemon or to Glance; stderr says what, and what to do",
    USAGE: "the command line or the configuration is wrong; nothing was started",
    INTERRUPTED: "interrupted by Ctrl-C; what a daemon does goes on",
}
VARIABLES = {
    CONFIG_VARIABLE: "The configuration file, where `--config` names none.",
    "EDGESYNC_API_URL": "The daemon's address, where `--api` names none.",
    TOKEN_VARIABLE: "The credential that is shown to the daemon: a token of its token file, or of Keystone.",
    CA_VARIABLE: "PEM file of the authority that has signed the daemon's certificate, if the system doesn't know it.",
    CERT_VARIABLE: "PEM file of one's own certificate and key, for a daemon that asks for one.",
    "OS_*": "The log-in to the cloud, as OpenStack's own clients read it; of `run`, `once`, `plan` and `doctor`.",
    "CI": "`true`: progress is told in lines, also on a terminal.",
    VARIABLE: "Set by the shell, after `edgesync completion`, to have a word completed.",
}
