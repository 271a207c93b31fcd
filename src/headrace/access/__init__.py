"""Who may: identities, tokens, policy. Every path to an effect passes through the gatekeeper."""
