"""Names of families and links, as glum has them, and the losses that they are."""

import re
from collections.abc import Mapping
from typing import Any

from ..kernels.losses import LOSSES
from ..wording.arguments import is_number

FAMILIES = ("normal", "binomial", "poisson", "gamma", "inverse.gaussian", "tweedie", "negative.binomial")
LINKS = ("auto", "identity", "log", "logit", "probit", "cloglog", "inverse")

# What tweedie is called at these powers.
_OF_POWER = {0.0: "normal", 1.0: "poisson", 2.0: "gamma", 3.0: "inverse.gaussian"}

# The option that may stand behind a name, in brackets.
_OPTION = {"tweedie": "power", "negative.binomial": "theta"}

# The maximum-likelihood estimate of the negative binomial theta.
LIKELIHOOD = "likelihood"


def named_family(family: Any) -> tuple[str, dict[str, float]]:
    """Name and option of a family: "tweedie(1.7)" is "tweedie" with a power of 1.7.

    Raises
    ------
    ValueError
        There is no such family.
    """
    found = re.fullmatch(r"\s*([a-z._]+)\s*(?:\(\s*([^()]+?)\s*\))?\s*", family) if isinstance(family, str) else None
    name = "" if found is None else found[1].replace("_", ".")
    name = "normal" if name == "gaussian" else name
    if found is None or name not in FAMILIES or (found[2] and name not in _OPTION):
        raise ValueError(
            f"unknown family {family!r}: choose from {', '.join(FAMILIES)}; a power or theta may follow, as in "
            "'tweedie(1.5)'"
        )
    if not found[2]:
        return name, {}
    try:
        return name, {_OPTION[name]: float(found[2])}
    except ValueError:
        raise ValueError(f"family {family!r}: {_OPTION[name]} must be a number, got {found[2]!r}") from None


def loss_of(family: Any, link: Any, options: Mapping[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """Name and options of the loss of a family with a link.

    Raises
    ------
    ValueError
        There is none.
    """
    name, told = named_family(family)
    given = dict(options or {})
    if both := sorted(set(told) & set(given)):
        raise ValueError(f"family {family!r} and loss_options both give {both[0]}: leave one out")
    given |= told
    if name == "tweedie" and is_number(given.get("power", 1.5)):
        power = float(given.get("power", 1.5))
        if power in _OF_POWER:
            name = _OF_POWER[power]
            del given["power"]
    if not (isinstance(link, str) and link in LINKS):
        raise ValueError(f"unknown link {link!r}: choose from {', '.join(LINKS)}")
    links = LOSSES[name].links
    link = links[0] if link == "auto" else link
    if link not in links:
        raise ValueError(f"link {link!r} does not go with the {name} family: choose from {', '.join(links)}")
    if (name, link) == ("normal", "identity"):
        name = "squared"
    elif link != links[0]:
        given["link"] = link
    return name, given or None
