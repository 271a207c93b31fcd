"""Who may and who answers for it: identities, their proofs, grants, policies, incidents, the record of it."""
