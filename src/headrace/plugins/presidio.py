"""Microsoft Presidio as a further recogniser for the texts of a project.

Without a language model it recognises by pattern and by words nearby; with ``en_core_web_sm`` or another of
spaCy's English models installed, names and places too. Nothing is fetched: Presidio's check of e-mail domains
would load a list from the network on first use, and is made with the list that its library ships.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headrace.access.privacy.redacting import Recogniser, Span
from headrace.core.errors import Unavailable

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer
    from presidio_analyzer.nlp_engine import NlpEngine

MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
_LANGUAGE = "en"
# What many numbers look like, such as a bank account, scores less by its form alone than with a word nearby.
_LEAST_SCORE = 0.4
_NOT_PERSONAL = frozenset({"DATE_TIME", "URL", "UUID"})
_LABELS = {
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "PHONE_NUMBER": "PHONE",
    "US_SSN": "NATIONAL_ID",
}


@lru_cache(maxsize=1)
def presidio() -> Recogniser:
    """A recogniser that asks Presidio; loading it takes some seconds, once.

    Raises:
        Unavailable: Presidio is not installed.
    """
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise Unavailable(
            "privacy.recognisers names presidio, which is not installed. Install it with "
            "pip install 'headrace[privacy]', or take presidio out of headrace.yaml."
        )
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    engine = _nlp_engine()
    engine.load()
    registry = RecognizerRegistry(supported_languages=[_LANGUAGE])
    registry.load_predefined_recognizers(languages=[_LANGUAGE], nlp_engine=engine)
    registry.remove_recognizer("EmailRecognizer")
    registry.add_recognizer(_emails())
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[_LANGUAGE])

    def recognise(text: str) -> list[Span]:
        results = analyzer.analyze(text=text, language=_LANGUAGE, score_threshold=_LEAST_SCORE)
        return [
            Span(_LABELS.get(result.entity_type, result.entity_type), result.start, result.end)
            for result in results
            if result.entity_type not in _NOT_PERSONAL
        ]

    return recognise


def _nlp_engine() -> NlpEngine:
    """The words of a text by spaCy, with the largest English model that is installed, or without one."""
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    for model in MODELS:
        if importlib.util.find_spec(model) is not None:
            return SpacyNlpEngine(models=[{"lang_code": _LANGUAGE, "model_name": model}])

    class Words(SpacyNlpEngine):  # type: ignore[misc]  # its library is not installed where types are checked
        """Splits text into words, so that those near a number are seen."""

        def load(self) -> None:
            import spacy

            self.nlp = {_LANGUAGE: spacy.blank(_LANGUAGE)}

        def process_text(self, text: str, language: str) -> Any:
            artifacts = super().process_text(text, language)
            artifacts.lemmas = [token.text.lower() for token in artifacts.tokens]
            artifacts.keywords = list(artifacts.lemmas)
            return artifacts

    return Words()


def _emails() -> EntityRecognizer:
    import tldextract
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Emails(EmailRecognizer):  # type: ignore[misc]
        """Presidio's own, but for the list of domains."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(extract(pattern_text).fqdn)

    return Emails()
