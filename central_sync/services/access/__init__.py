"""Who may do what and who sees which device: roles, tokens, limits, selectors. Asked before handlers run."""
