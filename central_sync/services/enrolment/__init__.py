"""How devices get an identity: enrolment tokens, provisioning, credentials and their renewal."""
