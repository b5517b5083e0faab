"""An account in words that may be shown to whoever looks over the user's shoulder."""

from __future__ import annotations

from codex_rpc.calls import Account

_KINDS = {"apiKey": "an OpenAI API key", "amazonBedrock": "Amazon Bedrock"}


def mask_email(email: str) -> str:
    """Leave of an address its first letter and its domain: `a…@example.com`."""
    name, at, domain = email.rpartition("@")
    return f"{name[:1]}…{at}{domain}" if at else "…"


def describe_account(account: Account) -> str:
    """Return who is logged in, e.g. `ChatGPT Plus, a…@example.com`; the e-mail address is masked."""
    match account.kind:
        case None if account.needs_login:
            return "nobody"
        case None:
            return "a model provider of your own, which needs no login"
        case "chatgpt":
            plan = f" {account.plan.replace('_', ' ').title()}" if account.plan and account.plan != "unknown" else ""
            return f"ChatGPT{plan}" + (f", {mask_email(account.email)}" if account.email else "")
        case kind:
            return _KINDS.get(kind, kind)
