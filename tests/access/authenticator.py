"""A security key in software: makes passkeys and signs with them, as the WebAuthn standard says."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    """Base 64 for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(kw_only=True)
class Authenticator:
    """One passkey in one device.

    Attributes:
        origin: the page that asks, as the browser says.
        count: how often it has signed.
        verifies: whether its owner unlocks it.
    """

    origin: str = "http://localhost:8000"
    count: int = 0
    verifies: bool = True
    key_id: bytes = b"key-0123456789ab"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def make(self, options: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The answer to ``navigator.credentials.create``; ``changes`` replace parts of what is said."""
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.key_id).to_bytes(2, "big") + self.key_id + cbor2.dumps(public)
        about = self._about(changes.get("site", options["rp"]["id"]), ATTESTED) + attested
        said = self._said("webauthn.create", options, changes)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": about})
        return self._answer({"clientDataJSON": text(said), "attestationObject": text(attestation)})

    def sign(self, options: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The answer to ``navigator.credentials.get``."""
        self.count += 1
        about = self._about(changes.get("site", options["rpId"]))
        said = self._said("webauthn.get", options, changes)
        signature = self.key.sign(about + sha256(said).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {"clientDataJSON": text(said), "authenticatorData": text(about), "signature": text(signature)}
        )

    def _about(self, site: str, flags: int = 0) -> bytes:
        flags |= PRESENT | (VERIFIED if self.verifies else 0)
        return sha256(site.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _said(self, kind: str, options: dict[str, Any], changes: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | {name: changes[name] for name in said.keys() & changes}).encode()

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        name = text(self.key_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}
