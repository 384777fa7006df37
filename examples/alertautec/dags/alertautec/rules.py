"""The rules by which an incident gets its classification and its priority."""

from __future__ import annotations

import re
import unicodedata

PRIORITIES = ("Low", "Medium", "High")
OTHER = "Other"
# In the order in which they are tried. A word counts for all that begin with it, without accents.
_RULES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Security", "High", ("robo", "asalto", "arma", "pelea", "amenaza", "intrus")),
    ("Health", "High", ("herid", "desmay", "accidente", "convulsi", "sangr", "intoxica")),
    ("Fire", "High", ("fuego", "humo", "incendio", "chispa", "gas")),
    ("Infrastructure", "Medium", ("fuga", "agua", "luz", "electric", "ascensor", "techo", "puerta")),
    ("Technology", "Medium", ("wifi", "internet", "proyector", "computadora", "servidor")),
    ("Cleaning", "Low", ("basura", "limpieza", "sucio", "olor")),
)
# Where the same incident is worse.
_DANGEROUS = ("laborator", "taller", "quimic")


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", plain)


def _has(text: str, beginnings: tuple[str, ...]) -> bool:
    return any(word.startswith(beginnings) for word in _words(text))


def classify(description: str, location: str) -> tuple[str, str]:
    """Return classification and priority of an incident, by what people wrote of it and of where it is."""
    found = next(((name, priority) for name, priority, words in _RULES if _has(description, words)), (OTHER, "Low"))
    if not _has(location, _DANGEROUS):
        return found
    return found[0], PRIORITIES[min(PRIORITIES.index(found[1]) + 1, len(PRIORITIES) - 1)]
