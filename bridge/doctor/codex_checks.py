"""The checks of codex itself: installation, login, quota."""

from __future__ import annotations

import os
import time

from bridge.agents.sandbox import check_sandbox
from bridge.codex.home import child_environment, real_home
from bridge.codex.launch import Launcher, account_client
from bridge.doctor.findings import Finding, fail, ok, skip, warn
from bridge.doctor.subject import Subject
from bridge.doctor.symptoms import LOG_IN
from bridge.doctor.verdicts import judge_models, judge_quota
from bridge.telemetry.report import describe_account
from codex_rpc.errors import CodexError, CodexNotFoundError, CodexTooOldError, RequestRefusedError
from codex_rpc.process.process import find_codex, untested_note
from codex_rpc.wire.calls import account_read, model_list, rate_limits_read

INSTALL = "npm install -g @openai/codex    (or: pip install openai-codex-cli-bin)"
UPDATE = "npm install -g @openai/codex@latest    (or: pip install -U openai-codex-cli-bin)"
ALLOW_NAMESPACES = "nothing without agents; otherwise allow unprivileged user namespaces, see docs/agents.md"
REACH_CHATGPT = "make sure that this machine can reach chatgpt.com"


async def codex(subject: Subject) -> Finding:
    """Check that codex is recent enough and starts with the server's settings."""
    try:
        executable = find_codex(subject.codex)
        launch = Launcher(subject.codex)
        async with launch.open_client():
            version = await launch.version(executable, child_environment(os.environ, real_home(os.environ)))
        home = launch.home()
    except CodexNotFoundError as error:
        return fail(str(error).partition(". ")[0], INSTALL)
    except CodexTooOldError as error:
        return fail(str(error).partition("; ")[0], UPDATE)
    except CodexError as error:
        return fail(str(error), "fix what the message names; usually a line of config.toml")
    found = f"{version or 'of an unknown version'} at {executable}"
    if note := untested_note(version):
        found += f", {note}"
    if names := " and ".join(home.instructions()):
        return warn(f"{found}; the model sees {names} in {home.path}: {home.obstacle}", f"rename {names} there")
    return ok(found)


async def sandbox(subject: Subject) -> Finding:
    """Check that codex can confine commands, which agents need."""
    launch, env = Launcher(subject.codex), child_environment(os.environ, real_home(os.environ))
    try:
        executable = find_codex(subject.codex)
        await launch.version(executable, env)  # creates the folder
        await check_sandbox(executable, env, launch.cwd)
    except CodexError as error:
        return warn(f"the sandbox of Codex does not work, so agents cannot run: {error}", ALLOW_NAMESPACES)
    return ok("Codex can confine the commands of agents")


async def login(subject: Subject) -> Finding:
    """Check that an account is logged in, unless the model provider needs none."""
    try:
        async with account_client(subject.codex) as client:
            account = await client.call(account_read())
    except RequestRefusedError as error:
        return fail(f"the account cannot be read: {error.reason}", f"{REACH_CHATGPT}, then {LOG_IN} --again")
    except CodexError as error:
        return fail(f"codex does not start: {error}", "fix what the message names; usually a line of config.toml")
    return ok(describe_account(account)) if account.ready else fail("Codex is not logged in", LOG_IN)


async def models(subject: Subject) -> Finding:
    """Check that codex lists models for this login; the finding names those that the upstream may refuse."""
    try:
        async with account_client(subject.codex) as client:
            listed = await client.call(model_list())
    except CodexError as error:
        return fail(f"the models cannot be read: {error}", REACH_CHATGPT)
    return judge_models(listed)


async def quota(subject: Subject) -> Finding:
    """Check that no limit of the plan is used up."""
    try:
        async with account_client(subject.codex) as client:
            account = await client.call(account_read())
            if account.kind != "chatgpt":
                return skip(f"{describe_account(account)} has no quota limits")
            limits = await client.call(rate_limits_read())
    except CodexError as error:
        return fail(f"the quota cannot be read: {error}", REACH_CHATGPT)
    return judge_quota(limits, time.time())
