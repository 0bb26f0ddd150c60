"""The HTML page that sends a browser on with a form: from the merchant to the gateway, and back to the ``frontUrl``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

__all__ = ["auto_post_page"]


def auto_post_page(url: str, fields: Mapping[str, str], *, title: str = "云闪付") -> str:
    """A page whose form posts itself as soon as a browser has it; without scripts the payer presses the button.

    Args:
        url: ``http`` or ``https``.
        fields: hidden inputs.
        title: the page's title.

    Raises:
        ValueError: another kind of URL.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError("the form's URL must begin with http:// or https://")
    inputs = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}"/>'
        for name, value in fields.items()
    )
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="UTF-8"/><title>{escape(title)}</title></head>\n<body>\n'
        f'<form id="pay_form" action="{escape(url)}" method="post" accept-charset="UTF-8">\n{inputs}\n'
        '<noscript><input type="submit" value="继续"/></noscript>\n</form>\n'
        '<script>document.getElementById("pay_form").submit();</script>\n</body></html>\n'
    )
