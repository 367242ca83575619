"""The centre's rules, against store protocols defined here. No SQL, no HTTP."""
