"""Who calls, and what they may do: identities from certificates and tokens, the policy, the audit log."""
