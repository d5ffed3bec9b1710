"""The agent added to a root file system that exists."""

import os

from images import root
from images.common import AGENT_PATH, Fault, configuration, say, static_program

CONFIG_PATH = "/etc/nullspace/agent.json"

# Where PID 1 mounts and what the host works in; those that exist stay as they are.
DIRECTORIES = {
    "/dev": 0o755,
    "/etc/nullspace": 0o755,
    "/proc": 0o555,
    "/run": 0o755,
    "/sys": 0o555,
    "/tmp": 0o1777,
    "/workspace": 0o755,
}


def agent_additions(listing, options):
    """What makes a root one that the agent can serve."""
    additions = root.Additions(listing)
    for path, mode in DIRECTORIES.items():
        additions.directory(path, mode)
    additions.file(AGENT_PATH, static_program(options.agent), 0o755)
    if options.init:
        additions.link("/sbin/init", os.path.basename(AGENT_PATH))
    if options.config:
        additions.file(CONFIG_PATH, configuration(options.agent, options.config))
    return additions


def rootfs(options):
    source = root.opened(options.root)
    is_directory = isinstance(source, root.Directory)
    if not options.output and not is_directory:
        raise Fault("a tar is not changed in place: -o is needed")
    if options.output and is_directory and _is_below(options.output, options.root):
        raise Fault(f"{options.output}: within the root itself")
    listing = root.Listing(source)
    additions = agent_additions(listing, options)
    if options.output:
        count = root.write(root.merged(source, additions), options.output)
        size = os.path.getsize(options.output) / (1 << 20)
        say(f"{options.output}: {count} entries, {size:.1f} MiB")
    else:
        root.write_into(options.root, additions)
        say(f"{options.root}: {len(additions.entries)} entries added")


def _is_below(path, directory):
    directory = os.path.realpath(directory)
    return os.path.commonpath([os.path.realpath(path), directory]) == directory
