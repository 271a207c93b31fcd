"""Who may and who answers for it: identities, grants, policies, controls, incidents, the record of it."""
